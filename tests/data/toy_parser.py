"""A parser for tests: what is red is seen, what is loud is heard."""

import numpy as np

from pipeline.parsing.parsed_video import ModelFacts
from pipeline.parsing.window_model import ModelInput, WindowScores


class ToyParser:
    """Windows of 4 s on toy backbones; classes ``red`` (seen), ``green`` (seen) and ``loud`` (heard)."""

    classes = ("red", "green", "loud")
    window_seconds = segments = 4
    sampling = "uniform"
    mask = "none"

    def __init__(self, *, sampling="uniform", weights="random:0"):
        self.sampling = sampling
        self.facts = ModelFacts("toy", "run", weights={"toy_visual": weights, "toy_audio": weights})
        self.inputs = (
            ModelInput("toy_visual", "toy_visual", "visual", weights=weights),
            ModelInput("toy_audio", "toy_audio", "audio", weights=weights),
        )
        self.thresholds = {"audio": np.full(3, 0.5), "visual": np.full(3, 0.5)}
        self.windows = 0

    def predict(self, features):
        colours, loud = features["toy_visual"], features["toy_audio"]
        self.windows += len(colours)
        by_second = colours.reshape(len(colours), 4, -1, 3).mean(axis=2) / 255
        visual, audio = np.zeros((2, len(colours), 4, 3), dtype=np.float32)
        visual[..., :2] = by_second[..., :2] / np.maximum(by_second.sum(-1, keepdims=True), 1e-6)
        audio[..., 2] = np.minimum(loud[..., 0] * 20, 1)
        return WindowScores({"audio": audio, "visual": visual}, {})
