"""Audio-visual event localization: scorers, pooling and the localizer."""
