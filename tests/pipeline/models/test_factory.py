import tomllib

import pytest
import torch

from pipeline.models.config import SYSTEMS, HANConfig, LEAPConfig, MMCSEConfig, MMPyrConfig, ParserConfig
from pipeline.models.config_tables import model_config, parts_of, system_config, system_table
from pipeline.models.factory import build_model
from pipeline.models.predictions import Model
from storage.errors import InvalidInput


@pytest.mark.parametrize("features", ["classic", "clap-clip"])
@pytest.mark.parametrize("decoder", ["mmil", "leap"])
@pytest.mark.parametrize("encoder", ["han", "mmpyr", "valor"])
def test_any_encoder_with_any_decoder_on_any_features(encoder, decoder, features, random_inputs):
    config = model_config(
        {
            "encoder": {"name": encoder, "feed_forward": 16, "heads": 4},
            "decoder": decoder,
            "features": features,
            "width": 32,
            "classes": 7,
            "segments": 5,
        }
    )
    model = build_model(config)
    assert isinstance(model, Model)
    out = model(**random_inputs(config, clips=3))
    for segment in (out.audio_segment, out.visual_segment, out.audio_logits):
        assert segment.shape == (3, 5, 7)
    for video in (out.audio_video, out.visual_video, out.union_video):
        assert video.shape == (3, 7)
    assert out.features.audio.shape == (3, 5, 32)
    sum(part.sum() for part in (out.audio_segment, out.visual_segment, out.audio_video, out.visual_video)).backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not without
    if decoder == "mmil":
        torch.testing.assert_close(out.audio_logits.sigmoid(), out.audio_segment)


@pytest.mark.parametrize("system", SYSTEMS)
def test_systems_by_name(system):
    assert model_config({"system": system}) == system_config(system) == SYSTEMS[system]


def test_a_recipe_changes_a_system():
    table = tomllib.loads("""
        system = "leap-mmpyr"
        width = 256
        [decoder]
        blocks = 4
        output = "average"
        dropout = 0
    """)
    config = model_config(table)
    assert config == ParserConfig(
        encoder=MMPyrConfig(), decoder=LEAPConfig(blocks=4, output="average", dropout=0.0), width=256
    )
    swapped = model_config({"system": "leap-mmpyr", "encoder": "han", "features": "clap-clip"})
    assert swapped.encoder == HANConfig()
    assert swapped.features.audio_map
    assert model_config({"name": "mmcse", "layers": 2}) == MMCSEConfig(layers=2)
    mixed = model_config({"system": "mmcse", "encoder": "mmpyr", "width": 512})
    assert mixed == MMCSEConfig(encoder=MMPyrConfig(), width=512)
    assert system_table("mmcse", MMCSEConfig(layers=2)) == {"system": "mmcse", "layers": 2}
    assert (parts_of(MMCSEConfig()), parts_of(mixed)) == (("mmcse",), ("mmcse", "mmpyr"))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"system": "leap"}, "system: 'leap' is unknown. Did you mean leap-han"),
        ({"name": "parsre"}, "model: name: 'parsre' is unknown. Did you mean parser"),
        ({"widht": 3}, "model: unknown key 'widht'. Did you mean width"),
        ({"encoder": "hann"}, "model: encoder: expected one of han, mmpyr, valor, .*, got 'hann'. Did you mean han"),
        ({"encoder": 3}, "model: encoder: expected one of han, mmpyr, valor, or a table with one of .*, got 3"),
        ({"encoder": {"layers": 3}}, "model: encoder: expected one of han, mmpyr, valor, or a table with one of"),
        ({"decoder": {"name": "leap", "block": 2}}, "model: decoder: unknown key 'block'. Did you mean blocks"),
        ({"decoder": {"name": "leap", "norm": "pre"}}, "decoder: norm: expected one of published, paper, got 'pre'"),
        ({"decoder": {"name": "leap", "blocks": 2.0}}, "blocks: expected a whole number, 1 or more, got 2.0"),
        ({"decoder": {"name": "leap", "blocks": True}}, "blocks: expected a whole number, 1 or more, got True"),
        ({"decoder": {"name": "leap", "dropout": 2}}, "decoder: dropout: expected a number from 0 to 1, got 2"),
        ({"width": -1}, "model: width: expected a whole number, 1 or more, got -1"),
        ({"name": "mmcse", "reconstruct": 1}, "model: reconstruct: expected true or false, got 1"),
        ({"features": 3}, "model: features: expected a table, or one of classic, clap-clip, ave, got 3"),
        ({"features": "clap"}, "model: features: expected a table, or .*, got 'clap'. Did you mean clap-clip"),
        ({"features": {"audio_dim": "x"}}, "model: features: audio_dim: expected a whole number, 1 or more, got 'x'"),
    ],
)
def test_malformed_tables(table, message):
    with pytest.raises(InvalidInput, match=message):
        model_config(table)


def test_numbers_that_do_not_fit_each_other():
    with pytest.raises(InvalidInput, match="model: 8 heads do not divide 100 dimensions"):
        build_model({"system": "mmpyr", "width": 100})


def test_eval_is_deterministic_and_train_is_not(random_inputs):
    config = model_config({"system": "leap-han", "width": 64})
    model, batch = build_model(config), random_inputs(config)
    assert not torch.equal(model(**batch).audio_logits, model(**batch).audio_logits)
    model.eval()
    assert torch.equal(model(**batch).audio_logits, model(**batch).audio_logits)
