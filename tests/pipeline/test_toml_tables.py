from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Literal

import pytest
from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.toml_tables import FORBID_EXTRA, Amount, Count, Flag, parse_toml, read_table
from storage.errors import InvalidInput


@dataclass(frozen=True, config=FORBID_EXTRA)
class Cat:
    name: Literal["cat"] = "cat"
    lives: Count = 9


@dataclass(frozen=True, config=FORBID_EXTRA)
class Dog:
    name: Literal["dog"] = "dog"
    barks: Flag = True


@dataclass(frozen=True, config=FORBID_EXTRA)
class House:
    street: str
    pet: Annotated[Cat | Dog, Field(discriminator="name")] = field(default_factory=Cat)
    rents: Mapping[str, Amount] = field(default_factory=dict)


def test_a_table_with_tables():
    house = read_table(House, {"street": "x", "pet": {"name": "dog"}, "rents": {"may": 3}}, where="h.toml")
    assert house == House("x", pet=Dog(), rents={"may": 3.0})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, r"^h\.toml: the key 'street' is missing$"),
        ({"street": "x", "pets": 1}, r"^h\.toml: unknown key 'pets'\. Did you mean pet\? Keys: street, pet, rents$"),
        (
            {"street": "x", "pet": {"name": "dgo"}},
            r"pet: expected one of cat, dog, .*, got 'dgo'\. Did you mean dog\?$",
        ),
        ({"street": "x", "pet": {"name": "cat", "live": 1}}, r"^h\.toml: pet: unknown key 'live'\. Did you mean lives"),
        ({"street": "x", "pet": {"name": "cat", "lives": 0}}, r"^h\.toml: pet: lives: expected a whole number, 1 or"),
        ({"street": "x", "rents": {"may": -1}}, r"^h\.toml: rents: may: expected a number, 0 or more, got -1$"),
        ({"street": "x", "a\x1bb\n": 1}, r"^h\.toml: unknown key [^\x1b\n]*$"),
        ({"street": ["x" * 1000]}, r"^h\.toml: street: expected a text, got .{1,100}$"),
    ],
)
def test_the_first_mistake_is_one_line(table, message):
    with pytest.raises(InvalidInput, match=message):
        read_table(House, table, where="h.toml")


@pytest.mark.parametrize("text", ["[x\n", "x = " + "[" * 5000, "x = 1\nx = 2\n", "\0"])
def test_no_toml(text):
    with pytest.raises(InvalidInput, match=r"^h\.toml: not TOML: [^\n]+$"):
        parse_toml(text, source="h.toml")
