"""What the name of an array must be: one folder below its group."""

from __future__ import annotations


def array_name_problem(name: str) -> str:
    """Why a store cannot have an array of this name; empty where it can."""
    if not name or set(name) == {"."}:
        return "has no name that a folder can have"
    if wrong := next((character for character in name if character in "/\\" or not character.isprintable()), ""):
        return f"has {wrong!r} in its name, which would lead out of its folder or cannot be shown"
    return ""
