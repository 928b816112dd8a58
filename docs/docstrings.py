"""For the site: roles in docstrings become links, and texts in types (``Doc``) become descriptions of attributes."""

from __future__ import annotations

import ast
import re
from typing import Any

from griffe import Attribute, Docstring, Extension, Object

_ROLE = re.compile(r":(?:func|class|meth|attr|mod|data):`~?\.?([\w.]+)`")
_ON_THE_SITE = ("pipeline.api.", "storage.store.FeatureStore", "extractors.registry.", "storage.schema.Status")


class Texts(Extension):
    """Rewrites docstrings as griffe reads them."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Every module, class, function and attribute."""
        if isinstance(obj, Attribute) and obj.docstring is None and (text := _text_of(obj)):
            obj.docstring = Docstring(text, parent=obj)
        if obj.docstring is not None:
            obj.docstring.value = _ROLE.sub(_link, obj.docstring.value)


def _text_of(attribute: Attribute) -> str:
    """What ``Doc("…")`` in an annotation says; empty if there is none."""
    tree = ast.parse(str(attribute.annotation or "None"), mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Doc":
            return str(ast.literal_eval(node.args[0]))
    return ""


def _link(role: re.Match[str]) -> str:
    name = role[1]
    shown = name.rpartition(".")[2]
    return f"[`{shown}`][{name}]" if name.startswith(_ON_THE_SITE) else f"`{shown}`"
