"""What ``avvp labels`` and ``avvp pseudo-labels`` do, and what they print."""

from __future__ import annotations

from typing import Any

import click

from pipeline.data.dataset_description import load_description
from storage.errors import InvalidInput

EMBEDDER_OPTIONS = ("oov", "dim", "pooling", "tokenizer")


def run_labels(*, store_url: str, embedder: str, dataset: str, import_file: str | None, **options: Any) -> None:
    """``avvp labels``.

    Raises:
        AvvpError: If anything that was given cannot be used.
    """
    from pipeline.build.labels import import_labels, make_labels

    known = load_description(dataset)
    chosen = {name: options.pop(name) for name in EMBEDDER_OPTIONS}
    if import_file is None:
        made, written = make_labels(store_url, embedder=embedder, dataset=known, options=chosen, **options)
    else:
        given = [name for name, value in chosen.items() if value is not None]
        given += ["prompts"] if options["prompts"] else []
        given += ["weights"] if options["weights"] != "pretrained" else []
        if given:
            raise InvalidInput(f"--import takes vectors as they are: leave --{given[0]} out")
        rebuild = options["rebuild"]
        made, written = import_labels(store_url, import_file, embedder=embedder, dataset=known, rebuild=rebuild)
    count, dim = made.vectors.shape
    group = f"{store_url}: labels/{made.spec.name}"
    if written:
        weights = made.provenance.weights[:15]
        click.echo(f"{group}: {count} classes of {known.name}, {dim} numbers each, {made.spec.description}, {weights}")
    else:
        click.echo(f"{group}: nothing to do, the same is there")
