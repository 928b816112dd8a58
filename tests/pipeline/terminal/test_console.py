"""Text from outside is printed, never interpreted: by no command, in no table, in no error."""

import ast
import io
import json
from pathlib import Path

import pytest
from rich.table import Table

from pipeline.terminal import console as consoles
from pipeline.terminal.console import json_text, show_json, wide_console
from storage.clips import Clip, ClipTable

ROOT = Path(__file__).parents[3]
HOSTILE = "x[/b][red]\x1b[31m:boom:\x9b2J\u202e\\"
"""A closing tag that opens nothing, a colour, escape codes of one and two bytes, an emoji, a direction, a backslash."""

SHOWN = r"x[/b][red]\x1b[31m:boom:\x9b2J\u202e" + "\\"


def printed(monkeypatch, *things, terminal=True, **options):
    file = io.StringIO()
    monkeypatch.setattr(consoles.sys, "stdout", file)
    screen = wide_console()
    screen._force_terminal, screen._color_system = terminal, None
    for thing in things:
        screen.print(thing, **options)
    return file.getvalue()


def test_a_console_interprets_nothing(monkeypatch):
    table = Table(box=None, title=HOSTILE)
    table.add_column(HOSTILE, overflow="fold")
    table.add_row(HOSTILE)
    out = printed(monkeypatch, f"{HOSTILE}: done\nnext line", table)
    assert out.startswith(f"{SHOWN}: done\nnext line\n")
    assert out.count(SHOWN) == 4
    assert "\x1b[31m" not in out


def test_json_is_safe_to_print_and_the_same(monkeypatch):
    body = {HOSTILE: ["é", "\udcff", "\U000e0001", "a\nb"]}
    assert json.loads(json_text(body)) == body
    assert all(character.isprintable() or character == "\n" for character in json_text(body))
    file = io.StringIO()
    monkeypatch.setattr(consoles.sys, "stdout", file)
    show_json(wide_console(), body)
    assert json.loads(file.getvalue()) == body


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def hostile_run(make_clip, tmp_path, avvp):
    """Clips and a store whose names, labels and reasons are hostile; one clip is missing, one is no media."""
    folder = tmp_path / f"clips {HOSTILE}"
    made = make_clip(tmp_path / "good.mp4", seconds=2)
    write(folder / f"{HOSTILE}.mp4", made.read_bytes())
    write(folder / f"broken {HOSTILE}.mp4", b"no media")
    write(folder / "left.out\x1b[2J", b"")
    clips = [*ClipTable.load(folder), Clip(f"gone {HOSTILE}", str(folder / "gone.mp4"), 0, 2, HOSTILE, (HOSTILE,))]
    table = tmp_path / f"table {HOSTILE}.csv"
    table.parent.mkdir(exist_ok=True)
    ClipTable(clips).to_csv(table)
    return folder, table, tmp_path / f"{HOSTILE}.zarr"


def test_commands_print_hostile_names_as_they_are(hostile_run, avvp, tmp_path):
    folder, table, store = hostile_run
    chosen = ["--backbone", "toy_visual", "--weights", "random:1", "--clip-seconds", 2, "--workers", 1]
    good, other = f"{HOSTILE}", tmp_path / f"other {HOSTILE}.zarr"
    ids = write(tmp_path / f"ids {HOSTILE}", f"{good}\n".encode())
    annotations = tmp_path / f"annotations {HOSTILE}"
    write(annotations / "AVVP_train.csv", f"filename\tevent_labels\n{HOSTILE}\tDog\n".encode())
    commands = [
        (3, ["extract", "--clips", table, "--store", store, *chosen, "--keep", "waveform"]),
        (3, ["extract", "--clips", table, "--store", store, *chosen]),
        (3, ["extract", "--clips", folder, "--store", other, *chosen]),
        (2, ["extract", "--clips", folder, "--store", store, *chosen]),
        (2, ["extract", "--clips", f"{folder}/none", "--store", store, *chosen]),
        (2, ["extract", "--clips", table, "--store", store, "--backbone", HOSTILE]),
        (2, ["extract", "--clips", table, "--store", store, "--backbone", "toy_visual", "--weights", HOSTILE]),
        (0, ["status", store]),
        (0, ["status", store, "--json"]),
        (0, ["inspect", store]),
        (0, ["inspect", store, "toy_visual"]),
        (0, ["inspect", store, "--clip", good]),
        (0, ["inspect", store, "--clip", f"gone {HOSTILE}"]),
        (2, ["inspect", store, "--clip", f"{HOSTILE}?"]),
        (2, ["inspect", store, HOSTILE]),
        (0, ["inspect", store, "--clip", good, "--html", tmp_path / f"{HOSTILE}.html"]),
        (0, ["verify", store]),
        (0, ["verify", store, "--deep", "--json"]),
        (2, ["export", store, tmp_path / f"out {HOSTILE}", "--layout", "toy_visual={id}.npy:8x3"]),
        (0, ["store", "subset", store, tmp_path / f"sub {HOSTILE}.zarr", "--ids", ids]),
        (2, ["store", "subset", store, tmp_path / "never.zarr", "--split", "none"]),
        (0, ["store", "merge", tmp_path / f"sub {HOSTILE}.zarr", tmp_path / f"two {HOSTILE}.zarr"]),
        (2, ["status", f"{store}.none"]),
        (2, ["download", "--status", "--out", folder]),
        (0, ["annotations", "check", annotations]),
        (2, [HOSTILE]),
        (2, ["status", f"--{HOSTILE}"]),
    ]
    shown = 0
    for expected, command in commands:
        code, out, err = avvp(*command)
        text = out + err
        assert all(character.isprintable() or character == "\n" for character in text), (command, text)
        assert code == expected, (command, text)
        shown += "x[/b][red]" in text
    assert shown >= len(commands) - 3, "names are shown as they are, not swallowed as markup"
    assert not (tmp_path / "never.zarr").exists()


def test_there_is_one_way_to_print():
    """Commands print through ``pipeline.terminal.console``: a Console made elsewhere would interpret markup."""
    wrong = []
    for file in sorted((ROOT / "pipeline").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if name in ("Console", "print", "click.echo", "click.secho", "TextColumn") or name.endswith(".from_markup"):
                wrong.append(f"{file.relative_to(ROOT)}: {name}")
    assert sorted(set(wrong)) == [
        "pipeline/extraction/progress.py: Console",
        "pipeline/extraction/progress.py: print",
        "pipeline/terminal/console.py: print",
        "pipeline/terminal/exit_codes.py: click.echo",
        "pipeline/training/run_log.py: TextColumn",  # markup=False
    ]
