import pytest
import torch

from pipeline.models.config import MMCSEConfig


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def random_inputs():
    """A function: a batch that fits a configuration, 80 frames for ResNet and a map for CLAP."""

    def make(config, clips=2, seed=0):
        random = torch.Generator().manual_seed(seed)
        features, segments = config.features, config.segments

        def draw(*shape):
            return torch.rand(*shape, generator=random)

        batch = {
            "audio": draw(clips, 64 if features.audio_map else segments, features.audio_dim),
            "visual_2d": draw(clips, segments if features.audio_map else 8 * segments, features.visual_2d_dim),
            "visual_3d": draw(clips, segments, features.visual_3d_dim),
        }
        label_dim = 0 if isinstance(config, MMCSEConfig) else getattr(config.decoder, "label_dim", 0)
        return batch | {"labels": draw(config.classes, label_dim) if label_dim else None}

    return make
