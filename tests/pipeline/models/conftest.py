import importlib.util
import json
import zlib

import numpy as np
import pytest
import torch

from pipeline.models.config import MMCSEConfig


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def reference(shared_dir):
    """The folder with rule.py, oracles and state dicts."""
    folder = shared_dir / "reference"
    if not (folder / "rule.py").is_file():
        pytest.skip(f"no reference at {folder}")
    return folder


@pytest.fixture(scope="session")
def rule(reference):
    """The module that draws the oracles' weights and inputs."""
    spec = importlib.util.spec_from_file_location("avvp_reference_rule", reference / "rule.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def published(reference):
    """A function: a published state dict's json by name."""

    def load(name):
        return json.loads((reference / "state_dicts" / f"{name}.json").read_text())

    return load


@pytest.fixture(scope="session")
def random_state():
    """A function: seeded random tensors for names and shapes, the same whatever else is drawn."""

    def make(shapes, seed=0):
        state = {}
        for name, shape in shapes.items():
            draw = np.random.default_rng([zlib.crc32(name.encode()), seed]).uniform(-1, 1, shape)
            fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 0
            is_norm = len(shape) == 1 and name.endswith("weight")
            scaled = draw * np.sqrt(3 / fan_in) if fan_in else (1 + 0.1 * draw if is_norm else 0.1 * draw)
            state[name] = torch.from_numpy(scaled).float()
        return state

    return make


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
