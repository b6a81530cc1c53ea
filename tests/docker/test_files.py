"""What can be said of the files of docker/ without Docker."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

from dicom.sop_classes import Service
from tests.docker import compose
from tests.docker.compose import DOCKER, MODES
from tests.node import ROOT
from tests.peers import peer

IMAGE = re.compile(r"[a-z]+:\d+\.\d+(\.\d+)?(-[a-z]+)*")
RUN = DOCKER / "run"
SCRIPTS = {"prepare", "standalone", "web", "dimse", "indexer", "jobs", "ready", "rows-microservice", "rows-hybrid"}


def instructions() -> list[list[tuple[str, str]]]:
    """Of the Dockerfile, by stage."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE))
    stages: list[list[tuple[str, str]]] = []
    for line in filter(None, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, rest))
    return stages


def test_hadolint_has_nothing_to_say_about_the_dockerfile() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert program, "requirements-dev.txt has it"
    said = subprocess.run([program, DOCKER / "Dockerfile"], capture_output=True, text=True, timeout=60)
    assert (said.returncode, said.stdout) == (0, "")


def test_every_image_is_pinned_to_an_exact_version() -> None:
    used = {rest.split()[0] for stage in instructions() for word, rest in stage if word == "FROM"}
    for mode in MODES:
        used |= {service.image for service in compose.services(mode).values()}
    assert {image for image in used if not IMAGE.fullmatch(image)} == set()


def test_the_last_stage_runs_as_nobody_in_particular_and_builds_nothing() -> None:
    last = instructions()[-1]
    words = [word for word, _ in last]
    assert [rest for word, rest in last if word == "USER"] == ["10001:10001"]
    assert words.index("USER") > max(n for n, word in enumerate(words) if word in ("RUN", "COPY"))
    assert "HEALTHCHECK" in words
    ran = " ".join(rest for word, rest in last if word == "RUN")
    assert not re.search(r"\b(apt-get|pip|gcc|make|curl|npm)\b", ran)
    installs = [rest for stage in instructions() for word, rest in stage if word == "RUN" and "install --no" in rest]
    assert all("--only-binary=:all:" in each for each in installs)
    assert installs


def test_what_is_copied_exists_and_reaches_the_builder() -> None:
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    for stage in instructions():
        for word, rest in stage:
            *sources, _ = rest.split()
            if word != "COPY" or rest.startswith("--from"):
                continue
            for source in sources:
                assert (ROOT / source).exists(), source
                allowed = [line[1:] for line in ignored if line.startswith("!")]
                assert any(source == line or source.startswith(f"{line}/") for line in allowed), source


def test_nothing_secret_and_nothing_of_the_workshop_reaches_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    allowed = [line[1:] for line in lines if line.startswith("!")]
    for path in (".git", ".venv", "data", "tests", "docker/secrets", "benchmarks"):
        assert not any(fnmatch(path, line) or path.startswith(f"{line}/") for line in allowed), path


def test_the_viewer_is_fetched_by_a_program_that_needs_nothing_installed() -> None:
    code = "import sys; sys.path.insert(0, '.'); import apps.viewer.package"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=ROOT, check=True, timeout=60)


@pytest.mark.parametrize("name", compose.files())
def test_a_compose_file_follows_the_specification(name: str) -> None:
    assert compose_spec.PyCompose.from_json(json.dumps(yaml.safe_load(compose.text(name)))).services


def test_there_is_an_overlay_for_each_mode() -> None:
    assert compose.files() == sorted(["compose.yml", *(f"compose.{mode}.yml" for mode in MODES)])


@pytest.mark.parametrize("mode", MODES)
def test_what_a_mode_runs_exists(mode: str) -> None:
    project = compose.project(mode)
    for service in compose.services(mode).values():
        named = set(service.volumes.values()) - {"./haproxy.cfg"}
        assert named <= set(project["volumes"]), service.name
        assert set(service.values.get("secrets", [])) <= set(project["secrets"]), service.name
        assert set(service.values.get("depends_on", {})) <= set(compose.services(mode)), service.name
        if service.is_ours:
            assert (DOCKER.parent / service.command[0]).is_file(), service.name
            assert service.values["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("mode", MODES)
def test_who_receives_shares_the_spool_of_its_node_with_one_indexer_and_the_archive_is_everybodys(mode: str) -> None:
    ours = [service for service in compose.services(mode).values() if service.is_ours]
    indexers = [each.node for each in ours if each.command[0] in ("docker/run/indexer", "docker/run/standalone")]
    assert len(indexers) == len(set(indexers))
    receivers = [each for each in ours if receives(each.command)]
    assert receivers
    for each in receivers:
        assert each.node in indexers, each.name
    assert {each.volumes["/data/archive"] for each in ours} == {"archive"}


def receives(command: list[str]) -> bool:
    program, *names = command
    if program == "docker/run/dimse":
        return not names or names[0] in ("store", "default")
    return program in ("docker/run/web", "docker/run/jobs", "docker/run/standalone")


@pytest.mark.parametrize("mode", ["microservice", "hybrid"])
def test_an_overlay_repeats_the_common_blocks_as_they_are(mode: str) -> None:
    base, overlay = (yaml.safe_load(compose.text(name)) for name in ("compose.yml", f"compose.{mode}.yml"))
    for block in ("x-role", "x-environment"):
        assert overlay[block] == base[block]


def test_each_service_has_its_container_and_the_port_that_its_row_gets() -> None:
    found = compose.services("microservice")
    text = (RUN / "rows-microservice").read_text()
    names = re.search(r"for service in (.*); do", text)
    port = re.search(r"PACS_PORT:-(\d+)", text)
    assert names and port
    assert set(names[1].split()) == {str(each) for each in Service if each is not Service.ECHO}
    for number, name in enumerate(names[1].split(), int(port[1])):
        assert found[name].command == ["docker/run/dimse", name]
        assert found[name].values["ports"] == [f"{number}:{number}"]


def test_every_script_is_used_and_takes_the_place_of_its_shell() -> None:
    assert {path.name for path in RUN.iterdir()} == SCRIPTS
    for path in RUN.iterdir():
        assert path.stat().st_mode & 0o111, path.name
        subprocess.run(["sh", "-n", path], check=True)
        last = [line for line in re.sub(r"\\\n", " ", path.read_text()).splitlines() if line.strip()][-1]
        assert shlex.split(last)[:2] == ["exec", "python"], path.name


def test_haproxy_takes_the_settings_of_the_balanced_mode() -> None:
    checked = subprocess.run(
        [peer("haproxy"), "-c", "-f", DOCKER / "haproxy.cfg"], capture_output=True, text=True, timeout=60
    )
    assert checked.returncode == 0, checked.stderr
    servers = re.findall(r"server \w+ ([\w-]+):11112", (DOCKER / "haproxy.cfg").read_text())
    assert set(servers) <= set(compose.services("hybrid"))
    balancer: dict[str, Any] = compose.project("hybrid")["services"]["balancer"]
    address = balancer["networks"]["default"]["ipv4_address"]
    assert compose.services("hybrid")["rows"].command == ["docker/run/rows-hybrid", address]


def test_the_page_about_deployment_names_every_script_and_mode_and_no_other() -> None:
    page = (ROOT / "docs" / "DEPLOYMENT.md").read_text()
    assert set(re.findall(r"docker/run/([a-z-]+)", page)) == SCRIPTS
    headings = {line[3:].lower() for line in page.splitlines() if line.startswith("## ")}
    assert set(MODES) <= headings
