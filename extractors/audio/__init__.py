"""Audio backbones, a file each, with their log-mels."""
