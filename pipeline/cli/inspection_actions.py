"""Implementation of ``avvp status`` and ``avvp inspect``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline.inspection.status import ArrayOverview, StoreOverview, overview
from pipeline.terminal.console import count, say_json, show_json, wide_console
from storage.labels import LabelStore
from storage.layout.label_schema import LABEL_GROUPS
from storage.media.addresses import is_address
from storage.noise_ratios import NOISE_RATIOS, read_noise_ratios
from storage.store import FeatureStore
from storage.text import visible

_SHOWN_FAILURES = 10


def print_status(store_url: str, *, as_json: bool) -> None:
    """``avvp status``."""
    store = FeatureStore.open(store_url)
    found = overview(store)
    if as_json:
        say_json(found.to_json())
        return
    console = wide_console()
    console.print(
        f"{visible(found.store)}: {visible(found.dataset or 'unnamed')}, {count(found.clips, 'clip')} of "
        f"{found.clip_seconds} s in {count(found.shards, 'shard')}",
        soft_wrap=True,
    )
    console.print(_status_table(found))
    if found.cut_clips:
        console.print(f"{count(found.cut_clips, 'clip')}: only the first {found.clip_seconds} s used")
    for array in [*found.arrays.values(), *found.decoded.values()]:
        _print_failures(console, array, store)


def _status_table(found: StoreOverview) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (("array", "left"), ("shape", "left"), ("done", "right"), ("stored", "right"),
                          ("failed", "right"), ("MB", "right"), ("weights", "left"), ("sampling", "left")):  # fmt: skip
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for prefix, arrays in (("", found.arrays), ("decoded/", found.decoded)):
        for array in arrays.values():
            table.add_row(
                visible(prefix + array.name),
                "×".join(str(size) for size in array.shape),
                f"{array.committed}/{found.clips}",
                str(array.stored),
                str(array.committed - array.stored),
                f"{array.bytes_on_disk / 1e6:.1f}",
                _short(array.weights),
                array.sampling,
            )
    return table


def _short(weights: str) -> str:
    return weights[:15] + "…" if weights.startswith("sha256:") else weights


def _print_failures(console: Console, array: ArrayOverview, store: FeatureStore) -> None:
    if not array.failures:
        return
    console.print(
        f"\n{visible(array.name)}: {count(array.committed - array.stored, 'clip')} without features", style="bold"
    )
    for group in array.failures[:_SHOWN_FAILURES]:
        examples = ", ".join(group.examples)
        console.print(
            f"  {group.count:>5} {group.status}: {visible(group.reason)}  e.g. {visible(examples)}", soft_wrap=True
        )
        if group.status == "missing" and "no such" in group.reason:
            path = store.clips[store.row_of(group.examples[0])].path
            console.print(f"        looked for {visible(path)}; --media gives the folder of the files", soft_wrap=True)
    if len(array.failures) > _SHOWN_FAILURES:
        console.print(f"  and {len(array.failures) - _SHOWN_FAILURES} more reasons: avvp status --json")


def print_inspection(store_url: str, *, array: str | None, clip_id: str | None, page: Path | None) -> None:
    """``avvp inspect``."""
    store = FeatureStore.open(store_url)
    console = wide_console()
    if page is not None:
        _write_page(console, store, clip_id or store.ids[0], page)
        return
    if clip_id is not None:
        _print_clip(console, store, clip_id, array)
    elif array is not None:
        _print_array(console, store, array)
    else:
        _print_tree(console, store)


def _write_page(console: Console, store: FeatureStore, clip_id: str, page: Path) -> None:
    """The page of one clip; pictures and sound that the store does not keep are decoded from the clip's file."""
    from pipeline.inspection.clip_page import lacks, write_clip_page

    absent, media = lacks(store), None
    clip = store.clips[store.row_of(clip_id)]
    if absent and clip.path and (is_address(clip.path) or Path(clip.path).is_file()):
        from pipeline.cli.source_media import media_of

        media = media_of(clip, clip_seconds=store.info.clip_seconds)
    write_clip_page(store, clip_id, page, media=media)
    console.print(f"{visible(str(page))}: {visible(clip_id)}, open it in a browser")
    if absent and media is None:
        console.print(
            f"It has no {' and no '.join(absent)}: the store keeps none, and {visible(clip.path or 'a file')} is not "
            f"there. Add --keep {','.join(absent)} to the same avvp extract"
        )


def _print_tree(console: Console, store: FeatureStore) -> None:
    from pipeline.inspection.arrays import layouts

    info = store.info
    console.print(
        f"{visible(store.url)}: {visible(info.dataset or 'unnamed')}, {count(info.clips, 'clip')} "
        f"of {info.clip_seconds} s, shards of {info.shard_size}, clip table {info.clip_table_hash[:12]}",
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("array", "shape", "dtype", "chunks", "shards", "codecs"):
        table.add_column(name, overflow="fold")
    table.add_column("bytes", justify="right")
    table.add_column("ratio", justify="right")
    for item in layouts(store):
        table.add_row(
            visible(item.path),
            _sizes(item.shape),
            item.dtype,
            _sizes(item.chunks),
            _sizes(item.shards) if item.shards else "-",
            "+".join(item.codecs),
            f"{item.bytes_on_disk:,}",
            f"{item.ratio:.2f}" if item.ratio else "-",
        )
    console.print(table)


def _sizes(shape: tuple[int, ...]) -> str:
    return "×".join(str(size) for size in shape)


def _print_array(console: Console, store: FeatureStore, name: str) -> None:
    from pipeline.inspection.arrays import statistics
    from pipeline.inspection.circumstances import made_on

    if name.startswith("decoded/") or name in store.decoded:
        kept = store.decoded_spec(name.removeprefix("decoded/"))
        show_json(console, kept.to_json())
        return
    if name.partition("/")[0] in LABEL_GROUPS and "/" in name:
        _print_labels(console, store, name)
        return
    name = name.removeprefix("features/").removesuffix("/values")
    spec, origin = store.spec(name), store.provenance(name)
    console.print(f"{visible(name)}: {visible(spec.description)}; {spec.time_grid}", style="bold")
    facts = {"spec": spec.to_json(), "provenance": origin.to_json(), "fingerprint": store.fingerprint(name)}
    show_json(console, facts)
    for group in made_on(store.summary(name)):
        console.print(f"{count(group.shards, 'shard')} made on: {visible(str(group))}", soft_wrap=True)
    found = statistics(store, name)
    if found is None:
        console.print("no valid step yet")
        return
    console.print(
        f"{count(found.rows, 'clip')} with values: min {found.minimum:.4g}, mean {found.mean:.4g}, "
        f"max {found.maximum:.4g}, zeros {100 * found.zero_share:.1f} %"
    )
    console.print("L2 norm of a step:")
    peak = max(int(found.norm_counts.max()), 1)
    for low, high, steps in zip(found.norm_edges[:-1], found.norm_edges[1:], found.norm_counts, strict=True):
        console.print(f"  {low:10.4g} to {high:10.4g} {int(steps):8d} {'█' * round(40 * int(steps) / peak)}")


def _print_labels(console: Console, store: FeatureStore, name: str) -> None:
    """Label embeddings or pseudo labels: where they come from, and their numbers by class."""
    labels = LabelStore.open(store.url)
    group, _, rest = name.partition("/")
    rest = rest.partition("/")[0]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class", overflow="fold")
    if group == "labels":
        found = labels.read_embeddings(rest)
        facts: dict[str, object] = {"spec": found.spec.to_json(), "provenance": asdict(found.provenance)}
        table.add_column("norm", justify="right")
        table.add_column("prompts", overflow="fold")
        for label, prompts, vector in zip(found.classes, found.prompts, found.vectors, strict=True):
            table.add_row(visible(label), f"{np.linalg.norm(vector):.3f}", visible("; ".join(prompts)))
    elif group == NOISE_RATIOS:
        ratios = read_noise_ratios(labels, rest)
        facts = {"provenance": asdict(ratios.provenance)}
        for heading in ("not heard", "not seen"):
            table.add_column(heading, justify="right")
        for label, audio, visual in zip(ratios.classes, ratios.audio, ratios.visual, strict=True):
            table.add_row(visible(label), f"{100 * audio:.1f} %", f"{100 * visual:.1f} %")
    else:
        made = labels.read_pseudo_labels(rest)
        facts = {"clips": int(made.known.sum()), "segments": made.audio.shape[1], "provenance": asdict(made.provenance)}
        for heading in ("segments heard", "segments seen"):
            table.add_column(heading, justify="right")
        sums = (part.sum((0, 1)) for part in made.decided())
        for label, heard, seen in zip(made.classes, *sums, strict=True):
            table.add_row(visible(label), f"{heard:,}", f"{seen:,}")
    console.print(f"{group}/{visible(rest)}", style="bold")
    show_json(console, facts)
    console.print(table)


def _print_clip(console: Console, store: FeatureStore, clip_id: str, array: str | None) -> None:
    from pipeline.inspection.arrays import clip_views

    if array is not None:
        store.spec(array)  # says which there are, where there is none of that name
    clip = store.clips[store.row_of(clip_id)]
    end = "end" if clip.end_seconds is None else f"{clip.end_seconds:g}"
    console.print(
        f"{visible(clip.id)}: {visible(clip.path)} [{clip.start_seconds:g}, {end}) s", style="bold", soft_wrap=True
    )
    console.print(f"split {visible(clip.split or '-')}, labels {visible(', '.join(clip.labels) or '-')}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("array", "status", "steps", "mean", "norm", "first values", "reason"):
        table.add_column(name, overflow="fold")
    for view in clip_views(store, clip_id):
        if array is None or view.array == array:
            head = " ".join(f"{value:.4g}" for value in view.head)
            steps = f"{view.valid_steps}/{view.steps}"
            numbers = (f"{view.mean:.4g}", f"{view.norm:.4g}") if view.head else ("-", "-")
            table.add_row(visible(view.array), view.status, steps, *numbers, head or "-", visible(view.reason))
    console.print(table)
