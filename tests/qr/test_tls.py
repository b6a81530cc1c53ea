"""Jobs and C-MOVE over TLS to DCMTK's storescp, which wants to see our certificate; and what does not fit."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apps.jobs.models import JobState
from apps.network.models import Peer
from tests.certificates import Certificate
from tests.node import free_port, listens, wait_for
from tests.peers import peer
from tests.qr.conftest import Serve
from tests.qr.files import assert_same, keep, received
from tests.qr.jobs import asked, destination, run
from tests.qr.test_move import STUDY, SUCCESS, last, limit, move

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("folders")]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("theirs"))


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("ours"))


@pytest.fixture
def storescp(theirs: Certificate, ours: Certificate, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    folder, port = tmp_path / "received", free_port()
    folder.mkdir()
    command = [peer("storescp"), "+B", "+xa", "+tls", theirs.key, theirs.pem, "+cf", ours.pem, "-od", folder, "--fork"]
    with subprocess.Popen([*map(str, command), str(port)], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: listens(port), what="storescp listens")
            yield port, folder
        finally:
            process.terminate()


def row(port: int, theirs: Certificate, ours: Certificate, **columns: Any) -> Peer:
    said = {
        **{"tls": True, "certificate_authority": theirs.certificate},
        **{"certificate": ours.certificate, "private_key": ours.private_key},
        **columns,
    }
    return destination(port, "DEST", **{"ae_title": "DEST", **said})


def test_a_job_sends_over_tls(storescp: tuple[int, Path], theirs: Certificate, ours: Certificate) -> None:
    kept = keep(1, 2, 3)
    row(storescp[0], theirs, ours)
    job = run(asked("DEST"))
    assert (job.state, job.error) == (JobState.SUCCEEDED, "")
    assert_same(kept, received(storescp[1]))


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"certificate_authority": "ours"}, "TLS handshake failed"),
        ({"tls": False}, "still to be sent"),
        ({"private_key": ""}, "Our certificate and its private key cannot be used"),
    ],
)
def test_what_does_not_fit_is_readable_at_the_job(
    columns: dict[str, Any], reason: str, storescp: tuple[int, Path], theirs: Certificate, ours: Certificate
) -> None:
    keep(1)
    said = {name: ours.certificate if value == "ours" else value for name, value in columns.items()}
    row(storescp[0], theirs, ours, **said)
    job = run(asked("DEST"))
    assert job.state == JobState.QUEUED
    assert reason in job.error


def test_a_certificate_is_not_looked_at_where_the_row_says_so(
    storescp: tuple[int, Path], theirs: Certificate, ours: Certificate
) -> None:
    keep(1)
    row(storescp[0], theirs, ours, certificate_authority="", verify_tls=False)
    assert run(asked("DEST")).state == JobState.SUCCEEDED


def test_a_c_move_goes_over_tls_as_the_row_of_its_destination_says(
    serve: Serve, storescp: tuple[int, Path], theirs: Certificate, ours: Certificate
) -> None:
    kept = keep(1, 2)
    row(storescp[0], theirs, ours)
    serving = serve(peers={"DEST": storescp[0]})
    limit(serving, 0, tls=True)
    assert last(move(serving, **STUDY)) == (SUCCESS, (2, 0, 0), [])
    assert_same(kept, received(storescp[1]))
    Peer.objects.update(private_key="")
    status, numbers, failed = last(move(serving, **STUDY))
    assert (status, numbers, len(failed)) == (0xA702, (0, 2, 0), 2)


def test_a_peer_is_verified_over_tls(
    admin_client: Client, storescp: tuple[int, Path], theirs: Certificate, ours: Certificate
) -> None:
    made = row(storescp[0], theirs, ours)
    answer = admin_client.post(f"/api/peers/{made.pk}/echo/", "{}", content_type="application/json").json()
    assert (answer["outcome"], answer["error"]) == ("success", "")
    Peer.objects.update(certificate="", private_key="")
    answer = admin_client.post(f"/api/peers/{made.pk}/echo/", "{}", content_type="application/json").json()
    assert answer["outcome"] == "failure"
