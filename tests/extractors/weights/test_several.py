"""Weights of several backbones: all that are missing in one message, and fetched ahead."""

from dataclasses import dataclass

import pytest

from extractors.weights import several
from extractors.weights.inventory import published_file
from extractors.weights.loading import WeightsSource
from storage.errors import WeightsError


@dataclass
class Backbone:
    """As far as weights go."""

    name: str
    weights_source: WeightsSource
    more: tuple[WeightsSource, ...] = ()

    @property
    def weights_files(self):
        return tuple(published_file(source) for source in (self.weights_source, *self.more))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AVVP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def source(tmp_path, name, *, published=True, **facts):
    if published:
        (tmp_path / name).write_bytes(name.encode())
    return WeightsSource((tmp_path / name).as_uri(), name, **facts)


def test_five_missing_weights_are_one_message(tmp_path, cache):
    wanted = [
        (Backbone(f"net{number}", source(tmp_path, f"{number}.pth", published=False, megabytes=number)), "pretrained")
        for number in range(1, 6)
    ]
    wanted.insert(2, (Backbone("seeded", source(tmp_path, "none.pth", published=False)), "random:1"))
    with pytest.raises(WeightsError, match="weights of 5 backbones cannot be had") as caught:
        several.resolve_all(wanted)
    message = str(caught.value)
    for number in range(1, 6):
        url = wanted[0][0].weights_source.url.replace("1.pth", f"{number}.pth")
        assert f"net{number}: {url} ({number}.0 MB){'.' if number == 5 else ';'} " in message
    assert f"avvp weights download net1 net2 net3 net4 net5. Or put the files into {cache} yourself" in message
    assert "seeded" not in message
    assert "\n" not in message
    assert not list(cache.iterdir())


def test_a_file_that_has_another_name_here_says_so(tmp_path):
    sources = (WeightsSource((tmp_path / "model.bin").as_uri(), f"{name}--model.bin") for name in "ab")
    with pytest.raises(WeightsError, match=r"one: file:.*/model\.bin as a--model\.bin; two: "):
        several.resolve_all([(Backbone(name, next(sources)), "pretrained") for name in ("one", "two")])


def test_one_missing_weight_is_told_as_ever(tmp_path):
    with pytest.raises(WeightsError, match=r"a\.pth: cannot be reached.*Put the file at .*a\.pth yourself"):
        several.resolve_all([(Backbone("one", source(tmp_path, "a.pth", published=False)), "pretrained")])


def test_found_weights_keep_their_order(tmp_path):
    names = ("b.pth", "a.pth")
    found = several.resolve_all([(Backbone(name, source(tmp_path, name)), "pretrained") for name in names])
    assert [one.path.name for one in found] == list(names)


def test_other_faults_are_told_beside_missing_files(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "b.pth").write_bytes(b"damaged")
    wanted = [
        (Backbone("gone", source(tmp_path, "a.pth", published=False)), "pretrained"),
        (Backbone("damaged", source(tmp_path, "b.pth", sha256="0000")), "pretrained"),
        (Backbone("nowhere", source(tmp_path, "c.pth")), str(tmp_path / "nothing.pt")),
    ]
    with pytest.raises(WeightsError, match=r"gone: file:.*/a\.pth; damaged: .*expected 0000.*; nowhere: ") as caught:
        several.resolve_all(wanted)
    assert "no such file" in str(caught.value)
    assert ".." not in str(caught.value)


def test_all_files_of_a_backbone_are_fetched(tmp_path, cache):
    several.fetch(Backbone("two", source(tmp_path, "a.pth"), (source(tmp_path, "b.pth"),)))
    assert {file.name for file in cache.iterdir()} >= {"a.pth", "b.pth"}


def test_a_second_file_with_a_wrong_digest_is_not_kept(tmp_path, cache):
    with pytest.raises(WeightsError, match="expected 0000"):
        several.fetch(Backbone("two", source(tmp_path, "a.pth"), (source(tmp_path, "b.pth", sha256="0000"),)))
    assert not any(file.name.startswith("b.pth") for file in cache.iterdir())
