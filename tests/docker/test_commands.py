"""The commands of docs/docker.md and of the compose file, parsed by the programs that would run them."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml
from dockerfiles import FILES, PROJECT, ROOT, arguments

from pipeline.cli.main import avvp

TEXT = (ROOT / "docs" / "docker.md").read_text()
IMAGES = {f"avvp-{path.stem}:{PROJECT['version']}": path for path in FILES}
VALUED = {"-v", "-e", "--gpus", "--shm-size", "--entrypoint", "--user", "-f", "-t", "--build-arg"}
FLAGS = {"--rm", "--init"}


def lines():
    blocks = re.findall(r"^```bash\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def split(line):
    """``(options, the rest)`` of a docker command line."""
    words = shlex.split(line.partition(" | ")[0], comments=True)[2:]
    options = []
    while words[0].startswith("-"):
        option = words.pop(0)
        assert option in VALUED | FLAGS, f"{option}: in {line}"
        options.append((option, words.pop(0) if option in VALUED else ""))
    return options, words


RUNS = [line for line in lines() if line.startswith("docker run")]
BUILDS = [line for line in lines() if line.startswith("docker build")]


def parse(command, words, *, path=""):
    """Fail as ``avvp`` would for an unknown command, option or choice, or for a missing one."""
    context = click.Context(command, info_name=path)
    if isinstance(command, click.Group):
        inner = command.get_command(context, words[0])
        assert inner is not None, f"{path} has no command {words[0]!r}"
        return parse(inner, words[1:], path=f"{path} {words[0]}")
    found, rest, _ = command.make_parser(context).parse_args(list(words))
    assert rest == []
    for parameter in command.params:
        given = found.get(parameter.name)
        assert given or not parameter.required, f"{path}: {parameter.name} is missing"
        if isinstance(parameter.type, click.Choice | click.types.IntParamType) and given is not None:
            for value in given if isinstance(given, list | tuple) else (given,):
                parameter.type.convert(value, parameter, context)
    return path.split()[-1]


def test_each_image_is_built_and_run():
    built = {dict(options)["-t"]: dict(options)["-f"] for options, rest in map(split, BUILDS) if rest == ["."]}
    assert built == {tag: f"docker/{path.name}" for tag, path in IMAGES.items()}
    commands = {"avvp-extract": set(), "avvp-train": set()}
    for options, rest in map(split, RUNS):
        assert rest[0] in IMAGES
        if "--entrypoint" not in dict(options):
            commands[rest[0].partition(":")[0]].add(rest[1])
    assert commands["avvp-extract"] >= {"extract", "parse", "synthetic", "status"}
    assert commands["avvp-train"] >= {"train", "evaluate"}


@pytest.mark.parametrize("line", RUNS)
def test_docker_run_lines_are_commands_of_ours(line):
    options, (_, *words) = split(line)
    mounted = {value.removesuffix(":ro").split(":")[1] for option, value in options if option == "-v"}
    places = {f"/{word.split('/')[1]}" for word in words if word.startswith("/")}
    assert places <= mounted, f"{places - mounted} would be lost with the container"
    if "--entrypoint" not in dict(options):
        parse(avvp, words, path="avvp")


def test_the_check_finds_mistakes():
    with pytest.raises(click.NoSuchOption):
        parse(avvp, ["extract", "--clip", "/data", "--store", "s"], path="avvp")
    with pytest.raises(click.BadParameter):
        parse(avvp, ["extract", "--clips", "/data", "--store", "s", "--engine", "none"], path="avvp")
    with pytest.raises(AssertionError, match="clips is missing"):
        parse(avvp, ["extract", "--store", "s"], path="avvp")
    with pytest.raises(AssertionError, match="no command 'extarct'"):
        parse(avvp, ["extarct"], path="avvp")


def test_extras_that_are_told_are_those_of_the_image():
    told = re.search(r"extras (`.+?) and `s3`", TEXT.replace("\n", " "))[1]
    assert {*re.findall(r"`(\w+)`", told), "s3"} == set(arguments(FILES[1])["EXTRAS"].split())


def test_dask_takes_the_options_of_the_compose_file():
    from distributed.cli import dask_scheduler, dask_worker

    services = yaml.safe_load(Path(ROOT, "docker", "compose.yaml").read_text())["services"]
    for name, command in (("dask-scheduler", dask_scheduler.main), ("dask-worker", dask_worker.main)):
        assert services[name]["entrypoint"] == ["dask", name.removeprefix("dask-")]
        command.make_parser(click.Context(command)).parse_args(list(services[name]["command"]))
