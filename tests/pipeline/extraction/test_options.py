"""Options of an extraction: what is refused, and that they stand once."""

import pickle
from dataclasses import MISSING, replace
from typing import get_type_hints

import click
import pytest

from pipeline.api.arguments import weights_texts
from pipeline.cli.extract_options import FLAGS, HELP
from pipeline.cli.main import avvp
from pipeline.extraction.option_fields import option_fields
from pipeline.extraction.options import ExtractKeywords, ExtractOptions, parse_bytes, parse_weights
from storage.errors import InvalidInput


def test_lists_become_tuples_and_copies_are_equal():
    options = ExtractOptions(["vggish"], ["pretrained", "vggish=random:2"], keep=["frames"], memory="2GB")
    assert options.weights_by_backbone == {"": "pretrained", "vggish": "random:2"}
    assert (options.keep, options.memory_bytes) == (("frames",), 2_000_000_000)
    assert hash(replace(options)) == hash(options)
    assert pickle.loads(pickle.dumps(options)) == options
    assert replace(options, device="cuda:0,cuda:1").devices == ("cuda:0", "cuda:1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampling": "sometimes"}, "sampling 'sometimes': expected one of uniform, published"),
        ({"precision": 32}, "precision 32: expected one of float32"),
        ({"keep": ("everything",)}, "expected some of frames, waveform, logmel"),
        ({"keep": "frames"}, r"keep 'frames': expected a list, such as \['frames'\]"),
        ({"clip_seconds": 0}, "clip seconds 0: expected a whole number of 1 or more"),
        ({"clip_seconds": 2.5}, "clip seconds 2.5: expected a whole number"),
        ({"clip_seconds": None}, "clip seconds None: expected a whole number"),
        ({"deadline_seconds": 0.0}, "deadline seconds 0.0: expected a finite number above 0"),
        ({"window": float("nan")}, "window nan: expected a finite number above 0"),
        ({"hop": float("inf")}, "hop inf: expected a finite number above 0"),
        ({"rebuild": 1}, "rebuild 1: expected True or False"),
        ({"device": ""}, "device '': expected a text"),
        ({"memory": "much"}, "expected a number of bytes such as 2GB"),
        ({"weights": ("clap=random:0",)}, "'clap' is not among the backbones asked for: vggish"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(change, message):
    with pytest.raises(InvalidInput, match=message):
        ExtractOptions(("vggish",), **change)


def test_windows_are_part_of_the_names_of_audio_backbones():
    options = ExtractOptions(("resnet152", "vggish", "clap@2s/1s"), ("vggish=random:1",), window=0.96, hop=0.48)
    assert options.backbones == ("resnet152", "vggish@0.96s/0.48s", "clap@2s/1s")
    assert options.weights_by_backbone == {"": "pretrained", "vggish@0.96s/0.48s": "random:1"}
    assert replace(options, device="cpu").backbones == options.backbones
    assert ExtractOptions(("vggish",), hop=0.96).backbones == ("vggish@0.96s/0.96s",)
    with pytest.raises(InvalidInput, match="window and hop are of audio backbones; asked for: resnet152"):
        ExtractOptions(("resnet152",), hop=0.5)


def test_weights_reach_backbones_in_folders_with_signs_in_their_names():
    own = ("/me@site/a=b/my.py:Net", "/me@site/a=b/my.py:Net@2fps")
    assert parse_weights(["Net=random:1"], own) == {"": "pretrained", own[0]: "random:1", own[1]: "random:1"}
    assert parse_weights([f"{own[0]}=random:1"], own[:1]) == {"": "pretrained", own[0]: "random:1"}
    assert parse_weights(["Net@2fps=random:2"], own) == {"": "pretrained", own[1]: "random:2"}
    assert parse_weights(["vggish=a=b.pth"], ("vggish",)) == {"": "pretrained", "vggish": "a=b.pth"}


def test_weights_from_python_are_those_of_the_command_line():
    texts = weights_texts({"vggish": "random:1"})
    assert (
        ExtractOptions(("vggish",), texts, window=0.96, hop=0.48).weights_by_backbone["vggish@0.96s/0.48s"]
        == "random:1"
    )
    with pytest.raises(InvalidInput, match="'clap' is not among the backbones asked for: vggish"):
        ExtractOptions(("vggish",), weights_texts({"clap": "random:1"}))


def test_weights_of_a_backbone_serve_all_its_frame_rates():
    names = ("resnet152", "resnet152@1fps", "clip:ViT-B-32/openai@2fps")
    options = ExtractOptions(names, ("resnet152=random:1", "resnet152@1fps=random:2", "clip:ViT-B-32/openai=random:3"))
    assert options.weights_by_backbone == {
        "": "pretrained", "resnet152": "random:1", "resnet152@1fps": "random:2",
        "clip:ViT-B-32/openai@2fps": "random:3",
    }  # fmt: skip


def test_bytes():
    assert [parse_bytes(text) for text in ("2GB", "512 MB", "1e9")] == [2_000_000_000, 512_000_000, 1_000_000_000]
    with pytest.raises(InvalidInput, match="did you mean 2GB"):
        parse_bytes("2")


def test_every_field_explains_itself_and_is_an_option_of_the_command_line():
    command = avvp.commands["extract"]
    options = {option.name: option for option in command.params if isinstance(option, click.Option)}
    for item in option_fields(ExtractOptions):
        assert item.text.endswith("."), item.name
        if item.name != "shards":
            assert options[item.name].help == HELP.get(item.name, item.text)
            assert options[item.name].opts == [FLAGS.get(item.name, "--" + item.name.replace("_", "-"))]
    assert set(FLAGS) | set(HELP) <= set(options)


def test_the_keywords_for_python_are_the_fields_with_a_default():
    fields = {item.name: item for item in option_fields(ExtractOptions) if item.default is not MISSING}
    assert set(get_type_hints(ExtractKeywords)) == set(fields) - {"weights", "shards"}


@pytest.mark.parametrize(("text", "shards"), [("0/1", range(5)), ("1/2", range(1, 5, 2)), ("15/16", range(15, 5, 16))])
def test_a_part_of_the_shards(text, shards):
    assert ExtractOptions(("vggish",), part=text).shards_of(5) == shards


def test_a_part_of_chosen_shards():
    assert ExtractOptions(("vggish",), part="1/2", shards=(0, 1, 3)).shards_of(5) == [1, 3]
    assert ExtractOptions(("vggish",), shards=(0, 1)).shards_of(5) == (0, 1)
    assert ExtractOptions(("vggish",)).shards_of(5) is None


@pytest.mark.parametrize("text", ["2/2", "1", "a/b", "-1/2", "1/0", "1/2/3", " 1/2"])
def test_a_part_that_is_none_is_refused(text):
    with pytest.raises(InvalidInput, match="expected i/n with i from 0 to n - 1"):
        ExtractOptions(("vggish",), part=text)
