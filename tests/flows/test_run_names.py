"""Names of runs."""

import pytest

from flows.deployments import FLOWS
from flows.run_names import name_of


@pytest.mark.parametrize(
    ("template", "parameters", "expected"),
    [
        ("{backbones} → {store}", {"backbones": "vggish", "store": "a.zarr"}, "vggish → a.zarr"),
        ("{backbones} → {store}", {"backbones": ["a", "b"], "store": "s"}, "a, b → s"),
        ("{inputs}", {"inputs": [f"{number}.mp4" for number in range(9)]}, "0.mp4, 1.mp4, 2.mp4 and 6 more"),
        ("{store}", {"store": "x[/b]\n{y}"}, "x[ /b]\\n{y}"),
        ("{store}", {"store": "x" * 200}, "x" * 119 + "…"),
    ],
)
def test_a_run_is_named_after_what_is_run(template, parameters, expected):
    assert name_of(template, parameters) == expected


@pytest.mark.parametrize("entry", FLOWS, ids=lambda entry: entry.name)
def test_every_flow_names_its_runs_by_parameters_that_it_has(entry, monkeypatch):
    loaded = entry.load()
    parameters = {name: name for name in loaded.parameters.required}
    monkeypatch.setattr("flows.run_names.flow_run", type("Run", (), {"parameters": parameters}))
    name = loaded.flow_run_name()
    optional = {name: field.get("default") for name, field in loaded.parameters.properties.items()}
    monkeypatch.setattr("flows.run_names.flow_run", type("Run", (), {"parameters": {**optional, **parameters}}))
    assert loaded.flow_run_name() == name, "as with the defaults written out"
