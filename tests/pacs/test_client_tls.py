"""`manage.py dicom` over TLS with DCMTK's programs, to several archives at once, and its help."""

import json
import subprocess
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pydicom import dcmread
from pydicom.data import get_testdata_file

from pacs.client import examples
from pacs.management.commands.dicom import VERBS
from tests.certificates import Certificate
from tests.node import free_port, listens, wait_for
from tests.peers import peer
from tests.qr import rows
from tests.qr.serving import Serving

CT = str(get_testdata_file("CT_small.dcm"))


@pytest.fixture
def archive(transactional_db: None) -> None:
    rows.study(rows.patient("P1", "Doe^Jane"), "1.1", series=("CT",))
    rows.study(rows.patient("P2", "Doe^John"), "1.3", series=("CT",))
    rows.study(rows.patient("P3", "Doe^Jim"), "1.4", series=("CT",))


def run(*arguments: str) -> tuple[str, int]:
    """What the client says, and its exit status."""
    output = StringIO()
    try:
        call_command("dicom", *arguments, stdout=output)
    except SystemExit as error:
        return output.getvalue(), int(str(error.code))
    except CommandError as error:
        return f"{output.getvalue()}{error}", error.returncode
    return output.getvalue(), 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def storescp(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """DCMTK's, over TLS, which wants to see a certificate."""
    key, pem = certificate.key, certificate.pem
    folder, port = tmp_path_factory.mktemp("stored"), free_port()
    command = [
        peer("storescp"),
        "+B",
        "+tls",
        str(key),
        str(pem),
        "+cf",
        str(pem),
        "-od",
        str(folder),
        "--fork",
        str(port),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: listens(port), what="storescp listens")
            yield f"STORESCP@127.0.0.1:{port}", folder
        finally:
            process.terminate()


def ours(certificate: Certificate) -> list[str]:
    key, pem = certificate.key, certificate.pem
    return ["--ca", str(pem), "--certificate", str(pem), "--private-key", str(key)]


def test_echo_and_store_go_over_tls_with_a_certificate_of_ours(
    storescp: tuple[str, Path], certificate: Certificate
) -> None:
    address, folder = storescp
    assert "answers" in run("echo", address, *ours(certificate))[0]
    said, status = run("store", address, CT, *ours(certificate))
    assert (status, "1 of 1 stored" in said) == (0, True)
    (file,) = folder.iterdir()
    assert dcmread(file) == dcmread(CT)


def test_a_certificate_that_nobody_vouches_for_is_not_taken_unless_told_so(
    storescp: tuple[str, Path], certificate: Certificate
) -> None:
    key, pem = certificate.key, certificate.pem
    said, status = run("echo", storescp[0], "--tls", "--certificate", str(pem), "--private-key", str(key))
    assert status == 2
    assert "certificate" in said.lower()
    assert run("echo", storescp[0], "--no-verify", "--certificate", str(pem), "--private-key", str(key))[1] == 0


@pytest.mark.parametrize("options", [["--ca", "missing.pem"], ["--private-key", "missing.pem"], ["--certificate", CT]])
def test_certificates_that_cannot_be_used_are_told(options: list[str]) -> None:
    assert run("echo", "PACS@127.0.0.1:1", *options)[1] == 2


def found(*arguments: str) -> tuple[list[dict[str, Any]], int]:
    said, status = run("find", "--json", *arguments)
    return [json.loads(line) for line in said.splitlines()], status


def test_several_archives_are_asked_at_once_and_each_study_says_who_has_it(archive: None) -> None:
    with Serving() as one, Serving() as other:
        both = f"ONE@127.0.0.1:{one.port},TWO@127.0.0.1:{other.port}"
        lines, status = found(both, "-k", "PatientID=P2")
        text, _ = run("find", both, "-k", "PatientID=P2")
    assert status == 0
    study, *told = lines
    assert (study["StudyInstanceUID"], study["peers"]) == ("1.3", both.split(","))
    assert [(line["peer"], line["answers"]) for line in told] == [(name, 1) for name in both.split(",")]
    assert "Peers" in text.splitlines()[0]


def test_who_of_several_does_not_answer_is_named_and_makes_the_exit_status(archive: None) -> None:
    with Serving() as one:
        lines, status = found(f"ONE@127.0.0.1:{one.port},GONE@127.0.0.1:{free_port()}")
    assert status == 1
    assert len([line for line in lines if "StudyInstanceUID" in line]) == 3
    assert lines[-1]["error"].startswith("Cannot connect")


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_the_help_of_each_verb_has_examples_and_exit_statuses(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command("dicom", verb, "--help")
    said = capsys.readouterr().out
    assert f"manage.py dicom {verb} " in said.partition("examples:")[2]
    assert examples.EXIT in said
    assert "--no-verify" in said
