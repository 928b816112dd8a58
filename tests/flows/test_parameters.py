"""Parameters: what the form shows, what is refused, and when."""

import inspect
from dataclasses import replace

import pytest
from prefect.exceptions import ParameterTypeError

from flows.asked import asks_for, chosen, fields_of
from flows.deployments import FLOWS
from flows.parameters import ExtractRequest, Placement
from flows.runners import holding, make_runner
from pipeline.extraction.options import ExtractOptions
from storage.errors import InvalidInput, StoreError


@pytest.mark.parametrize("entry", FLOWS, ids=lambda entry: entry.name)
def test_every_parameter_explains_itself(entry):
    schema = entry.load().parameters.model_dump()
    silent = [name for name, field in schema["properties"].items() if not field.get("description")]
    assert not silent
    assert entry.load().name == entry.name
    assert entry.load().description


@pytest.mark.parametrize("entry", FLOWS, ids=lambda entry: entry.name)
def test_types_are_checked_before_a_run(entry):
    loaded = entry.load()
    good = dict.fromkeys(loaded.parameters.required, "x")
    if entry.name == "build-labels":
        good["embedder"] = "glove"
    loaded.validate_parameters(good)
    for name in good:
        with pytest.raises(ParameterTypeError, match=name):
            loaded.validate_parameters({**good, name: 7})


def kinds(field):
    """The JSON types that a parameter takes, but for null; and of a list's entries."""
    parts = [part for part in field.get("anyOf", [field]) if part.get("type") != "null"]
    return {part["type"] + (f" of {part['items']['type']}s" if "items" in part else "") for part in parts}


def test_a_parameter_has_one_type_in_every_flow():
    seen = {}
    for entry in FLOWS:
        for name, field in entry.load().parameters.properties.items():
            if (entry.name, name) != ("parse", "keep"):  # where parse keeps features, as in avvp parse --keep
                seen.setdefault(name, set()).add(frozenset(kinds(field)))
    assert {name: found for name, found in seen.items() if len(found) > 1} == {}
    for name in ("weights", "label_weights", "backbones", "keep", "changes", "inputs", "options", "formats"):
        assert seen[name] == {frozenset({"string", "array of strings"})}, name


@pytest.mark.parametrize(
    "given", [{"weights": "random:3", "keep": "frames"}, {"weights": ["random:3"], "keep": ["frames"]}]
)
def test_one_value_is_given_as_such_or_as_a_list(monkeypatch, given):
    extract, seen = FLOWS[0].load(), []
    monkeypatch.setattr("flows.extract_llp.run_extraction", lambda request, placement: seen.append(request.options))
    backbones = "vggish" if isinstance(given["keep"], str) else ["vggish"]
    extract.validate_parameters({"clips": "c", "store": "s", "backbones": backbones, **given})
    extract.fn("c", "s", backbones, **given)
    assert (seen[0].backbones, seen[0].weights, seen[0].keep) == (("vggish",), ("random:3",), ("frames",))


def test_label_weights_may_name_their_embedder(monkeypatch):
    from types import SimpleNamespace

    from flows import build_labels

    seen = []

    def labels(store, **asked):
        seen.append(asked["weights"])
        return SimpleNamespace(spec=SimpleNamespace(name="glove"), vectors=SimpleNamespace(shape=(25, 300))), True

    monkeypatch.setattr(build_labels, "make_labels", labels)
    for weights in ("random:1", ["random:1"], "glove=random:1", ["glove=random:1"]):
        build_labels.build_labels.fn("s.zarr", "glove", weights=weights)
    assert seen == ["random:1"] * 4


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backbones", []),
        ("clip_seconds", 0),
        ("sampling", "sometimes"),
        ("keep", ["everything"]),
        ("deadline_seconds", 0),
        ("resources", {"GPU": 0}),
        ("runner", "spark"),
        ("clips", ""),
    ],
)
def test_values_out_of_range_are_named(name, value):
    extract = FLOWS[0].load()
    with pytest.raises(ParameterTypeError, match=name):
        extract.validate_parameters({"clips": "c", "store": "s", "backbones": ["vggish"], name: value})


def test_a_request_can_be_a_key():
    request = ExtractRequest("s", ExtractOptions(["a", "b"], ["pretrained", "b=random:2"], device="cuda:0,cuda:1"))
    assert hash(request) == hash(replace(request))
    assert request == replace(request)


def test_a_request_without_clips_takes_those_of_the_store(tmp_path):
    with pytest.raises(StoreError, match="no feature store here"):
        ExtractRequest(str(tmp_path / "s.zarr"), ExtractOptions(("a",))).table()
    with pytest.raises(InvalidInput, match="media is given without clips"):
        ExtractRequest("s", ExtractOptions(("a",)), media="m").table()


def test_a_request_for_a_part_of_a_table(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("id,path,split\na,a.mp4,train\nb,b.mp4,val\nc,c.mp4,val\n")
    request = ExtractRequest("s", ExtractOptions(("a",)), str(table), split="val", clip_limit=1)
    assert request.table().ids == ["b"]


def test_asked_fields_become_parameters_with_their_texts_and_defaults():
    seen = {}

    @asks_for(*fields_of(ExtractOptions, only=("device", "keep")), *fields_of(Placement, only=("limit",)))
    def body(store, media=None, **asked):
        """One line.

        Args:
            store: a store.
        """
        seen.update(asked, store=store, media=media)

    parameters = inspect.signature(body).parameters
    assert list(parameters) == ["store", "media", "device", "keep", "limit"]
    assert parameters["keep"].default == []
    assert "device: auto, cpu, cuda:N" in inspect.getdoc(body)
    body("s", device="cpu", limit="gpu")
    assert seen == {"store": "s", "media": None, "device": "cpu", "limit": "gpu"}
    assert chosen(Placement, seen).limit == "gpu"
    assert chosen(ExtractOptions, seen, backbones=("vggish",)).device == "cpu"
    with pytest.raises(TypeError, match="unexpected keyword argument 'devices'"):
        body("s", devices="cpu")


def test_the_form_is_made_from_the_options():
    """Names and order are what scripts and people's habits rely on."""
    properties = FLOWS[0].load().parameters.properties
    assert list(properties) == [
        "clips", "store", "backbones", "media", "split", "clip_limit", "weights", "sampling", "precision", "device",
        "engine", "window", "hop", "keep", "clip_seconds", "shard_size", "workers", "deadline_seconds", "decoder",
        "memory",
        "compile_networks", "retry_failed", "rebuild", "store_dtype", "part",
        "runner", "address", "processes", "resources", "limit",
        "timeout_seconds", "credentials",
    ]  # fmt: skip
    for item in fields_of(ExtractOptions, without=("backbones", "shards")):
        default = list(item.default) if isinstance(item.default, tuple) else item.default
        default = "pretrained" if item.name == "weights" else default
        assert properties[item.name].get("default") == default
        assert properties[item.name]["description"] == item.text


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        ({"address": "tcp://a:1"}, "the runner asked for is local"),
        ({"resources": {"GPU": 1}}, "name devices"),
        ({"runner": "dask", "address": "a:1"}, "begins with tcp://"),
        ({"runner": "ray", "address": "tcp://a:1"}, "begins with ray://"),
    ],
)
def test_places_that_do_not_go_together_are_refused(placement, message):
    with pytest.raises(InvalidInput, match=message):
        Placement(**placement).check()


def test_a_runner_that_is_not_installed_is_one_line(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "prefect_ray.task_runners", None)
    with pytest.raises(InvalidInput, match=r"pip install 'avvp-pipeline\[ray\]'"):
        make_runner(Placement(runner="ray"), devices=1)


def test_two_local_tasks_run_at_once_for_each_device():
    assert make_runner(Placement(), devices=3)._max_workers == 6
    with holding(Placement()):
        pass
