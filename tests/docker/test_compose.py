"""``docker/compose.yaml`` without a Docker engine: its structure, and that its parts fit each other and our files."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker" / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
KEYS = {
    "image", "build", "user", "init", "restart", "cap_drop", "security_opt", "entrypoint", "command", "environment",
    "ports", "volumes", "deploy", "depends_on", "healthcheck", "profiles",
}  # fmt: skip
DURATION = re.compile(r"\d+(ms|s|m|h)")
DECODING = ("gpu-worker", "dask-worker")
each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def test_the_services_that_there_are():
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"name", "services", "volumes"}
    assert list(SERVICES) == ["postgres", "prefect-server", "gpu-worker", "dask-scheduler", "dask-worker"]
    assert {name for name, service in SERVICES.items() if "profiles" in service} == {"dask-scheduler", "dask-worker"}


@each_service
def test_keys_are_those_of_the_specification(service):
    assert set(service) <= KEYS
    assert set(service["healthcheck"]) <= {"test", "interval", "timeout", "retries", "start_period"}
    assert set(service.get("build", {})) <= {"context", "dockerfile"}


@each_service
def test_images_are_pinned(service):
    name, _, tag = service["image"].partition(":")
    assert name
    assert re.match(r"\d+\.\d+", tag), f"{service['image']} has no release in its tag"


def test_our_images_have_our_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for service in OURS.values():
        assert service["image"] == f"avvp-extract:{version}"
        context = ROOT / "docker" / service["build"]["context"]
        assert (context / service["build"]["dockerfile"]).is_file()


@each_service
def test_health_is_checked(service):
    check = service["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert all(isinstance(part, str) for part in check["test"])
    assert DURATION.fullmatch(check["interval"])
    assert DURATION.fullmatch(check["timeout"])
    assert check["retries"] >= 3
    if "python" in check["test"]:
        compile(check["test"][-1], "healthcheck", "exec")


@each_service
def test_waits_for_health_of_services_that_run_with_it(service):
    for name, wait in service.get("depends_on", {}).items():
        assert wait == {"condition": "service_healthy"}
        assert set(SERVICES[name].get("profiles", [])) <= set(service.get("profiles", [])), f"{name} may not be started"


@each_service
def test_nobody_is_root(service):
    assert str(service["user"]).split(":")[0] not in {"", "0", "root"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")


@each_service
def test_ports_are_open_to_this_machine_only(service):
    for port in service.get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:(\$\{\w+:-\d+\}|\d+):\d+", port), port


@each_service
def test_volumes_are_declared(service):
    for volume in service.get("volumes", []):
        source = re.sub(r"\$\{\w+:-([^}]+)\}", r"\1", volume).split(":")[0]
        assert source in COMPOSE["volumes"] or source.startswith((".", "/"))


def test_secrets_come_from_the_environment():
    literal = re.findall(r"(?im)^\s*\w*(?:password|secret|token|key\b|access_key)\w*:[ \t]*([^\s$].*)$", TEXT)
    assert literal == []
    assert all(
        password == "AVVP_POSTGRES_PASSWORD:-local-only" for password in re.findall(r"\{(\w+PASSWORD[^}]*)\}", TEXT)
    )


@pytest.mark.parametrize("name", DECODING)
def test_workers_have_a_gpu_and_the_stores(name):
    service = SERVICES[name]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    places = [volume.removesuffix(":ro").split(":")[-1] for volume in service["volumes"]]
    assert places == ["/stores", "/cache", "/data"]
    made = (ROOT / "docker" / "extract.Dockerfile").read_text()
    assert "/stores /cache /data" in made, "a volume takes over the owner of the image's folder: it must be there"


def test_the_addresses_fit_the_ports():
    server = SERVICES["prefect-server"]
    assert server["environment"]["PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED"] == "true"
    assert server["environment"]["PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED"] == "true"
    assert server["command"][-1] == "4200" == server["ports"][0].split(":")[-1]
    for name in DECODING:
        assert SERVICES[name]["environment"]["PREFECT_API_URL"] == "http://prefect-server:4200/api"
    assert "8786" in SERVICES["dask-scheduler"]["command"]
    assert SERVICES["dask-worker"]["command"][0] == "tcp://dask-scheduler:8786"


def test_docker_itself_reads_it():
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no docker compose here")
    command = [docker, "compose", "-f", ROOT / "docker" / "compose.yaml", "--profile", "dask", "config", "--quiet"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
