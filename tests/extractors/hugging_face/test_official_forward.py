"""Features equal those of transformers' own networks behind its own processors, and each type keeps the contract."""

import numpy as np
import pytest
import torch
import transformers

from extractors import registry
from extractors.base import Frames, Waveform
from extractors.contract import check_contract

LARGEST_DIFFERENCE = 1e-5
"""Relative to the largest value."""


def _unit(features):
    return torch.nn.functional.normalize(features, dim=-1)


def _pooled(network, inputs):
    return network(inputs).pooler_output


PICTURES = {
    "vit": lambda network, x: network.vit(x).last_hidden_state[:, 0],
    "deit": lambda network, x: network(x).last_hidden_state[:, 0],
    "dinov2": _pooled,
    "dinov2_with_registers": _pooled,
    "dinov3_vit": _pooled,
    "dinov3_convnext": _pooled,
    "convnext": lambda network, x: network.convnext(x).pooler_output,
    "convnextv2": _pooled,
    "swin": _pooled,
    "swinv2": _pooled,
    "clip": lambda network, x: _unit(network.get_image_features(x).pooler_output),
    "clip_vision_model": lambda network, x: _unit(network(x).image_embeds),
    "siglip": lambda network, x: _unit(network.get_image_features(x).pooler_output),
    "siglip_vision_model": lambda network, x: _unit(network(x).pooler_output),
}
VIDEOS = {
    "videomae": lambda network, x: network.videomae(x).last_hidden_state.mean(1),
    "timesformer": lambda network, x: network(x).last_hidden_state[:, 0],
    "vivit": lambda network, x: network(x).last_hidden_state[:, 0],
    "vjepa2": lambda network, x: network(x, skip_predictor=True).last_hidden_state.mean(1),
    "pe_audio_video:video": lambda network, x: network.video_model.video_head(
        network.video_model.video_encoder(x).pooler_output
    ),
}
SOUNDS = {
    "audio-spectrogram-transformer": lambda network, x: network.audio_spectrogram_transformer(x).pooler_output,
    "clap": lambda network, x: _unit(
        network.get_audio_features(x, is_longer=torch.zeros(len(x), 1, dtype=torch.bool)).pooler_output
    ),
    "whisper": lambda network, x: network.model.encoder(x).last_hidden_state[:, :50].mean(1),
    "wav2vec2": lambda network, x: network.wav2vec2(x).last_hidden_state.mean(1),
    "hubert": lambda network, x: network(x).last_hidden_state.mean(1),
    "wavlm": lambda network, x: network(x).last_hidden_state.mean(1),
    "pe_audio": lambda network, x: network.get_audio_embeds(x),
    "pe_audio_video:audio": lambda network, x: network.get_audio_embeds(x),
}
ONE_BACKEND = ("dinov3_vit", "dinov3_convnext")
"""Types whose processor comes without Pillow."""


def _loaded(models, name, *, engine="torch", clip_seconds=2):
    model_type, _, part = name.partition(":")
    folder, official = models(model_type)
    name = f"hf:{folder}:{part}" if part else f"hf:{folder}"
    return registry.load(name, engine=engine, clip_seconds=clip_seconds), folder, official


def _pictures(count, height=50, width=73, seed=0):
    coarse = np.random.RandomState(seed).randint(0, 256, (count, height // 7 + 1, width // 7 + 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(7, axis=1).repeat(7, axis=2)[:, :height, :width])


def _assert_close(ours, official):
    official = official.detach().numpy()
    assert ours.shape == official.shape
    assert np.abs(ours - official).max() <= LARGEST_DIFFERENCE * np.abs(official).max() > 0


def _frames(extractor, pictures):
    view = extractor.view
    pixels = np.stack([view.apply(picture) for picture in pictures])
    return Frames(pixels, np.ones(len(pixels), dtype=bool), view.frames_per_second)


@pytest.mark.parametrize("name", [*PICTURES, *VIDEOS, *SOUNDS])
def test_every_type_keeps_the_contract(models, name):
    extractor, _, _ = _loaded(models, name)
    check_contract(extractor)


def test_every_type_that_is_offered_is_tried_here():
    from extractors.hugging_face.sound_types import MODEL_TYPES

    offered = {f"{kind}:{part}" if part else kind for kind, parts in MODEL_TYPES.items() for part in parts}
    assert offered == {*PICTURES, *VIDEOS, *SOUNDS}


@pytest.mark.parametrize("name", PICTURES)
def test_frames_equal_the_official_forward(models, name):
    extractor, folder, official = _loaded(models, name)
    clip = _frames(extractor, _pictures(extractor.view.frames(2)))
    (row,) = extractor.extract([clip])
    if name in ONE_BACKEND:
        processor = transformers.AutoImageProcessor.from_pretrained(folder)
        prepared = processor(list(clip.pixels), do_resize=False, return_tensors="pt")
    else:
        processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
        prepared = processor(list(_pictures(extractor.view.frames(2))), return_tensors="pt")
    with torch.inference_mode():
        _assert_close(row[extractor.array_name].values, PICTURES[name](official, prepared.pixel_values))


@pytest.mark.parametrize("name", VIDEOS)
def test_stacks_equal_the_official_forward(models, name):
    extractor, folder, official = _loaded(models, name)
    clip = _frames(extractor, _pictures(extractor.view.frames(2)))
    (row,) = extractor.extract([clip])
    processor = getattr(transformers, extractor.model.kind.processor).from_pretrained(folder)
    seconds = torch.from_numpy(clip.pixels).permute(0, 3, 1, 2).unflatten(0, (2, -1))
    prepared = processor(list(seconds), do_resize=False, do_center_crop=False, return_tensors="pt")
    inputs = next(iter(prepared.values()))
    with torch.inference_mode():
        _assert_close(row[extractor.array_name].values, VIDEOS[name](official, inputs))


@pytest.mark.parametrize("name", SOUNDS)
def test_seconds_equal_the_official_forward(models, name):
    extractor, folder, official = _loaded(models, name)
    rate = extractor.view.sample_rate_hz
    samples = np.random.RandomState(0).uniform(-0.5, 0.5, 2 * rate).astype(np.float32)
    (row,) = extractor.extract([Waveform(samples, rate, 2 * rate)])
    processor = getattr(transformers, extractor.model.kind.processor).from_pretrained(folder)
    prepared = processor(list(samples.reshape(2, rate)), sampling_rate=rate, return_tensors="pt")
    inputs = prepared[processor.model_input_names[0]].float()
    with torch.inference_mode():
        _assert_close(row[extractor.array_name].values, SOUNDS[name](official, inputs))


@pytest.mark.parametrize(
    ("name", "levels"), [("dinov3_vit", 1), ("dinov3_convnext", 1), *((name, 2) for name in VIDEOS)]
)
def test_resizes_without_pillow_are_near(models, name, levels):
    """torchvision's resize of tensors is not Pillow's: DINOv3's works on floats, the videos' rounds between passes."""
    extractor, folder, _ = _loaded(models, name)
    pictures = _pictures(extractor.view.frames(2), height=60, width=81)
    ours = _frames(extractor, pictures).pixels.astype(np.float64)
    kind = extractor.model.kind.processor or "AutoImageProcessor"
    processor = getattr(transformers, kind).from_pretrained(folder)
    tensors = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    given = list(tensors) if kind == "AutoImageProcessor" else [tensors]
    values = next(iter(processor(given, return_tensors="pt").values()))
    theirs = values.reshape(-1, *values.shape[-3:]).permute(0, 2, 3, 1).double().numpy()
    mean, std = (np.array(facts) for facts in extractor.normalisation)
    assert np.abs((theirs * std + mean) * 255 - ours).max() <= levels


@pytest.mark.parametrize(("fused", "truncation"), [(True, "fusion"), (False, "rand_trunc")])
def test_clap_with_and_without_fusion(tmp_path, new_model, models, fused, truncation):
    _, plain = models("clap")
    sound = {**plain.config.audio_config.to_dict(), "enable_fusion": fused}
    official = new_model(tmp_path, "clap", audio_config=sound)
    transformers.ClapFeatureExtractor(truncation=truncation).save_pretrained(tmp_path)
    extractor = registry.load(f"hf:{tmp_path}", engine="torch", clip_seconds=2)
    samples = np.random.RandomState(0).uniform(-0.5, 0.5, 96_000).astype(np.float32)
    (row,) = extractor.extract([Waveform(samples, 48_000, 96_000)])
    processor = transformers.ClapFeatureExtractor.from_pretrained(tmp_path)
    inputs = processor(list(samples.reshape(2, -1)), sampling_rate=48_000, return_tensors="pt")[
        "input_features"
    ].float()
    with torch.inference_mode():
        _assert_close(row[extractor.array_name].values, SOUNDS["clap"](official, inputs))


@pytest.mark.parametrize("name", ["dinov3_vit", "swin", "siglip", "videomae", "clap", "wav2vec2"])
def test_both_engines_give_the_same(models, name, engine):
    extractor, _, _ = _loaded(models, name, engine=engine)
    expected, _, _ = _loaded(models, name)
    rows, others = check_contract(extractor), check_contract(expected)
    a, b = (np.stack([row[extractor.array_name].values for row in each]) for each in (rows, others))
    assert np.nanmax(np.abs(a - b)) <= LARGEST_DIFFERENCE * np.nanmax(np.abs(b)) > 0
