"""Published checkpoints in our modules: names, shapes and conversion."""

from pipeline.models.official.loading import load_official as load_official
