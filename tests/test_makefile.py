"""What ``make setup`` and ``make demo`` say before each step, and that their commands are commands of ours."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from pipeline.cli.main import avvp

ROOT = Path(__file__).resolve().parents[1]
STEP = re.compile(r"== (?:setup )?(\d) of (\d).*\(.*\b(?:s|minutes?)\)")


def lines_of(target, tmp_path):
    """The commands that make would run, as it would in a checkout without an environment."""
    if shutil.which("make") is None:
        pytest.skip("no make here")
    command = ["make", "-n", target, f"VENV={tmp_path / 'none'}", f"DEMO={tmp_path / 'demo'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.replace("\\\n", " ").splitlines()


@pytest.mark.parametrize(("target", "steps"), [("setup", 4), ("demo", 10), ("demo-full", 10)])
def test_every_step_is_announced_with_its_number_and_time(target, steps, tmp_path):
    numbers = [found.groups() for line in lines_of(target, tmp_path) if (found := STEP.search(line))]
    assert len(numbers) == steps
    for place, (number, of) in enumerate(numbers):
        assert int(number) == (place if place < 4 else place - 4) + 1
        assert of == ("4" if place < 4 else str(steps - 4))


@pytest.mark.parametrize("target", ["setup", "demo", "demo-full"])
def test_pip_is_not_silent_for_minutes(target, tmp_path):
    installs = [line for line in lines_of(target, tmp_path) if " install " in line]
    assert len(installs) >= 3
    assert not [line for line in installs if "--quiet" in line]


@pytest.mark.parametrize("target", ["demo", "demo-full"])
def test_the_demos_commands_parse(target, tmp_path):
    commands = [
        shlex.split(line)[1:]
        for line in lines_of(target, tmp_path)
        if "/bin/avvp " in line and not line.startswith("echo")
    ]
    assert len(commands) >= 7
    for words in commands:
        command = avvp.commands[words[0]]
        assert isinstance(command, click.Command)
        (tmp_path / "demo" / "full" / "runs").mkdir(parents=True, exist_ok=True)
        command.make_context(words[0], words[1:])
