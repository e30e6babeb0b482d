"""The images and the compose file against the code: no Docker engine is needed to see that they name only what exists."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
import yaml
from dockerfile_parse import DockerfileParser
from sqlalchemy import make_url

from app.jobs.states import Queue
from app.main import create_app
from app.settings import ENV_PREFIX, Settings
from tests.project import commands
from tests.project.repository import ROOT, project, read

VARIABLES = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
COMPOSE: dict[str, Any] = yaml.safe_load(read("docker-compose.yml"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OWN_SERVICES = [name for name, service in SERVICES.items() if "build" in service]
INTERPOLATION = re.compile(r"\$\{([A-Z0-9_]+)(:?[-?][^}]*)?\}")


def _stages() -> dict[str, list[tuple[str, str]]]:
    """Return instruction and value of every line of each stage of the Dockerfile, the stage's base first."""
    stages: dict[str, list[tuple[str, str]]] = {}
    for line in DockerfileParser(fileobj=BytesIO(read("Dockerfile").encode()), env_replace=False).structure:
        if line["instruction"] == "FROM":
            base, _, name = line["value"].partition(" AS ")
            current = stages[name] = list(stages.get(base, ()))
        elif line["instruction"] != "COMMENT":
            current.append((line["instruction"], line["value"]))
    return stages


STAGES = _stages()


def _variables(stage: str) -> dict[str, str]:
    pairs = (word.partition("=") for instruction, value in STAGES[stage] if instruction == "ENV" for word in value.split())
    return {name: value for name, _, value in pairs}


def _last(stage: str, instruction: str) -> str:
    return [value for found, value in STAGES[stage] if found == instruction][-1]


def _environment(service: str) -> dict[str, str]:
    """Return a service's environment with every ``${NAME}`` replaced by a value as a careful person would choose it."""
    given: dict[str, str] = SERVICES[service].get("environment", {})
    return {name: INTERPOLATION.sub("fz_" + "0" * 40, str(value)) for name, value in given.items()}


def _interpolated(value: object) -> Iterator[str]:
    for match in INTERPOLATION.finditer(json.dumps(value)):
        yield match[1]


@pytest.mark.parametrize("stage", STAGES)
def test_stages_copy_from_stages_and_set_variables_that_exist(stage: str) -> None:
    for _, value in STAGES[stage]:
        for source in re.findall(r"--from=(\S+)", value):
            assert source in STAGES
    assert {name for name in _variables(stage) if name.startswith(ENV_PREFIX)} <= VARIABLES


def test_images_install_the_extra_of_their_name_and_run_without_root() -> None:
    extras = project()["project"]["optional-dependencies"]
    for stage, extra in (("api", "server"), ("worker", "worker")):
        assert extra in extras
        (install,) = [value for _, value in STAGES[f"{stage}-builder"] if "pip install" in value]
        assert f".[{extra}]" in shlex.split(install)
        assert "--constraint requirements.lock" in install
        assert ("COPY", f"--from={stage}-builder /opt/farzi /opt/farzi") in STAGES[stage]
        assert _last(stage, "USER") == "farzi"
        assert _variables(stage)["PATH"].startswith("/opt/farzi/bin:")
    assert (ROOT / "requirements.lock").exists()


@pytest.mark.parametrize("stage", ["api", "worker"])
def test_the_command_of_an_image_exists(stage: str) -> None:
    commands.check(json.loads(_last(stage, "CMD")))


def test_the_api_image_listens_where_its_health_check_looks() -> None:
    port = _variables("api")["FARZI_PORT"]
    assert _last("api", "EXPOSE") == port
    assert _variables("api")["FARZI_HOST"] == "0.0.0.0"
    _, _, command = _last("api", "HEALTHCHECK").partition("CMD ")
    python, flag, code = json.loads(command)
    assert (python, flag) == ("python", "-c")
    ast.parse(code)
    match = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", code)
    assert match is not None
    assert match[1] == port
    assert match[2] in create_app(Settings()).openapi()["paths"]


def test_the_data_directory_is_made_for_the_user() -> None:
    directory = _variables("runtime")["FARZI_DATA_DIR"]
    assert any(
        instruction == "RUN" and f"--owner farzi --group farzi {directory}" in value for instruction, value in STAGES["runtime"]
    )
    assert _last("runtime", "WORKDIR") == directory


def test_the_build_context_has_what_the_wheel_is_made_of_and_no_more() -> None:
    rules = [line for line in read(".dockerignore").splitlines() if line and not line.startswith("#")]
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    wheel = project()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    table = project()["project"]
    assert kept == {*wheel, table["readme"], *table["license-files"], "CHANGELOG.md", "pyproject.toml", "requirements.lock"}
    assert rules[0] == "*"
    assert all((ROOT / name).exists() for name in kept)


@pytest.mark.parametrize("name", OWN_SERVICES)
def test_own_service_builds_a_stage_and_runs_a_command_of_it(name: str) -> None:
    service = SERVICES[name]
    assert (ROOT / service["build"]["context"] / "Dockerfile").is_file()
    stage = service["build"]["target"]
    assert service["image"] == f"farzi-{stage}"
    words = service.get("command") or json.loads(_last(stage, "CMD"))
    commands.check(words)
    if words[1] == "worker":
        assert stage == "worker"
        assert words[words.index("--queue") + 1] in set(Queue)


@pytest.mark.parametrize("name", OWN_SERVICES)
def test_own_service_gets_settings_that_load(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = _environment(name)
    assert environment.keys() <= VARIABLES
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert not Settings().embedded


def test_addresses_in_the_settings_are_those_of_the_other_services() -> None:
    environment = _environment("api")
    database = make_url(environment["FARZI_DATABASE_URL"])
    postgres = _environment("postgres")
    assert (database.host, database.username, database.database) == (
        "postgres",
        postgres["POSTGRES_USER"],
        postgres["POSTGRES_DB"],
    )
    assert database.password == postgres["POSTGRES_PASSWORD"]
    assert environment["FARZI_BROKER_URL"].startswith("redis://redis:6379/")
    flags = dict(word.removeprefix("-").partition("=")[::2] for word in SERVICES["objects"]["command"][1:])
    assert environment["FARZI_S3_ENDPOINT_URL"] == f"http://{flags['ip']}:{flags['s3.port']}"
    assert environment["FARZI_S3_BUCKET"] == flags["bucket"]
    assert {"api", "postgres", "redis", "objects"} <= SERVICES.keys()
    assert flags["ip"] == "objects"
    assert _environment("objects")["AWS_ACCESS_KEY_ID"] == environment["FARZI_S3_ACCESS_KEY_ID"]


def test_the_published_port_is_the_one_the_api_listens_on() -> None:
    (published,) = SERVICES["api"]["ports"]
    assert published.rpartition(":")[2] == _variables("api")["FARZI_PORT"]


def test_services_wait_for_services_that_can_become_what_they_wait_for() -> None:
    for name, service in SERVICES.items():
        for other, wanted in service.get("depends_on", {}).items():
            assert other in SERVICES, f"{name} waits for {other}"
            if wanted["condition"] == "service_healthy":
                assert "test" in SERVICES[other]["healthcheck"]
            else:
                assert wanted["condition"] == "service_completed_successfully"
                assert "restart" not in SERVICES[other]
    assert SERVICES["migrate"]["command"] == ["farzi", "db", "upgrade"]
    assert all("migrate" in SERVICES[name]["depends_on"] for name in OWN_SERVICES if name != "migrate")


def test_every_service_has_a_memory_limit_and_every_volume_is_declared() -> None:
    assert [name for name, service in SERVICES.items() if "mem_limit" not in service] == []
    mounted = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert mounted == COMPOSE["volumes"].keys()


def test_workers_are_given_longer_to_stop_than_a_run_needs_for_its_checkpoint() -> None:
    grace_s = Settings.model_fields["stop_grace_s"].default
    for name in (name for name in OWN_SERVICES if name.startswith("worker")):
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > grace_s


def test_the_gpu_worker_alone_reserves_a_gpu() -> None:
    reserving = [name for name, service in SERVICES.items() if "deploy" in service]
    assert reserving == ["worker-gpu"]
    (device,) = SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])


def test_the_example_environment_names_exactly_what_compose_asks_for_and_holds_no_secret() -> None:
    example = dict(line.partition("=")[::2] for line in read(".env.example").splitlines() if re.match("[A-Z]", line))
    assert example.keys() == set(_interpolated(COMPOSE))
    assert {name: value for name, value in example.items() if value} == {"API_PORT": "8000"}
    assert ".env" in read(".gitignore").splitlines()
