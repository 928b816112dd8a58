from dataclasses import replace

import pytest

from pipeline.models.config import SYSTEMS, HANConfig, LEAPConfig, ParserConfig
from pipeline.models.decoders.leap import LEAPDecoder
from pipeline.models.info import PUBLISHED_COSTS, model_info, published_parameters

TEST_MODE = replace(SYSTEMS["mmcse"], reconstruct=False)
CLAP_TEST_MODE = replace(SYSTEMS["mmcse-clap-clip"], reconstruct=False)


@pytest.mark.parametrize(
    ("config", "published", "live"),
    [
        (SYSTEMS["han"], 9_307_723, 4_569_675),
        (SYSTEMS["mmpyr"], 43_995_725, 40_827_469),
        (SYSTEMS["valor"], 5_096_523, 5_096_523 - 4 * 512),
        (SYSTEMS["valor-plus"], 5_052_235, 5_052_235 - 4 * 256),
        (SYSTEMS["valor-plusplus"], 4_888_395, 4_888_395 - 4 * 256),
        (SYSTEMS["leap-mmpyr"], 52_005_380, 52_005_380 - 4_749_312),
        (SYSTEMS["leap-han"], 12_581_378, 12_581_378 - 1_576_960 - 4 * 1_024 - 2_048),
        (SYSTEMS["mmcse"], 6_324_685, 6_324_685 - 4 * 128),
        (TEST_MODE, 4_488_653, 4_488_653 - 4 * 128),
        (SYSTEMS["mmcse-clap-clip"], 6_160_845, 6_160_845 - 4 * 128),
        (CLAP_TEST_MODE, 4_324_813, 4_324_813 - 4 * 128),
        (replace(SYSTEMS["leap-mmpyr"], decoder=LEAPConfig(blocks=1)), 48_847_364, None),
        (replace(SYSTEMS["leap-mmpyr"], decoder=LEAPConfig(blocks=4)), 58_321_412, None),
    ],
)
def test_parameters(config, published, live):
    info = model_info(config)
    assert info.published_parameters == published
    assert live is None or info.parameters == live


def test_live_weights_of_the_decoder():
    decoder = LEAPDecoder(512)
    assert sum(parameter.numel() for parameter in decoder.blocks.parameters()) == 6_311_936


def test_options_that_nobody_published_have_no_published_count():
    assert published_parameters(ParserConfig(encoder=HANConfig(layers=2, stacking="stacked"))) is None
    assert published_parameters(ParserConfig(decoder=LEAPConfig(norm="paper"))) is None
    assert published_parameters(ParserConfig(decoder=LEAPConfig(label_dim=0))) is None
    for changes in ({"secm": "paper"}, {"decoupling": "classes"}, {"intra": "secm"}, {"cross": "none"}):
        assert published_parameters(replace(TEST_MODE, **changes)) is None


def test_leaps_operations_are_the_published_less_what_we_save():
    info, cost = model_info(SYSTEMS["leap-mmpyr"]), PUBLISHED_COSTS["leap-mmpyr"]
    frames = 70 * 2048 * 512  # published: each of 80 frames is projected, then averaged
    keys = 2 * 10 * 512 * 512  # published: the second question computes the keys again
    level_sum = 2 * 10 * 4 * 512  # published: the sum over levels is a matrix product
    assert info.multiply_adds + info.norm_operations + frames + keys + level_sum == cost.flops == 790_778_880
    heads, norms = 2 * 25 * 512, 5 * 4 * 2 * 25 * 512
    assert info.parts["decoder"] - heads + norms + keys == cost.decoder_flops == 145_971_200
    assert sum(info.parts.values()) == info.multiply_adds


def test_other_systems_agree_with_fvcores_rounded_counts():
    frames = 70 * 2048 * 256
    valor = model_info(SYSTEMS["valor-plus"])
    assert round((valor.multiply_adds + valor.norm_operations + frames) / 1e9, 3) == 0.130
    clap = 2048 * 768 * 256 - 10 * 768 * 256 - 10 * 64 * 768  # published: the stretched map is projected, then pooled
    valor = model_info(SYSTEMS["valor-plusplus"])
    assert round((valor.multiply_adds + valor.norm_operations + clap) / 1e9, 3) == 0.493
    background = 20 * 24 * 128 * 128  # published: the background is multiplied once a class
    mmcse = model_info(TEST_MODE)
    assert round((mmcse.multiply_adds + mmcse.norm_operations + frames + background) / 1e9, 3) == 0.831
    mmcse = model_info(CLAP_TEST_MODE)
    assert round((mmcse.multiply_adds + mmcse.norm_operations + clap + background) / 1e9, 3) == 1.194
