"""The campaigns in short: a kill at each step, a few at random, a moment without a database, and what is left then."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.storage import index, intake
from tests.campaigns import (
    commitment,
    fsync_order,
    job_kills,
    jobs,
    load,
    memory,
    mpps_kill,
    openapi,
    sending,
    two_nodes,
    verify,
)
from tests.campaigns.job_points import OF_KIND, one_of_each
from tests.campaigns.kill import Campaign, node_on, postgresql_stopped, sqlite_locked
from tests.campaigns.receiving import Receiver
from tests.node import Node
from tests.peers import peer

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

POSTGRESQL = os.environ.get("DATABASE_URL", "").startswith("postgres")
files_alone = pytest.mark.skipif(POSTGRESQL, reason="no matter of the database: shown on SQLite")
STEPS = [("listeners", name) for name in intake.STEPS] + [("indexer", name) for name in index.STEPS]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    with Node(tmp_path_factory.mktemp("kill"), PACS_PROCESSES="2") as node:
        node.manage("prepare")
        made = Campaign(node, seed=2)
        made.start()
        yield made


@pytest.mark.parametrize(("role", "step"), STEPS, ids=[name for _, name in STEPS])
def test_nothing_acknowledged_is_lost_by_a_kill_at(campaign: Campaign, role: str, step: str) -> None:
    campaign.at_failpoint(role, step, 1)


def test_nothing_acknowledged_is_lost_by_kills_at_random(campaign: Campaign, tmp_path: Path) -> None:
    peer("getscu")
    campaign.at_random(12, lambda line: None)
    campaign.settle()
    verify.everything(campaign.node, campaign.ledger, tmp_path, moved_studies=3)


def test_what_a_modality_was_told_of_its_step_survives_kills(tmp_path: Path) -> None:
    with Node(tmp_path, PACS_PROCESSES="1") as node:
        node.manage("prepare")
        assert mpps_kill.run(node, 6, lambda line: None).kills >= 6


def test_every_job_ends_whatever_dies_around_it_and_at_whichever_step(tmp_path: Path) -> None:
    if POSTGRESQL:
        peer("redis-server")
    database = "postgresql" if POSTGRESQL else "sqlite"
    with (
        jobs.campaign_on(database, tmp_path, PACS_JOB_LEASE="2", PACS_SWEEP_SECONDS="1") as campaign,
        Receiver() as receiver,
    ):
        campaign.workers = 2
        jobs.run(campaign, receiver, jobs=24, acts=4, pause=(0.2, 1), timeout=120, say=lambda line: None)
        assert campaign.kills["a worker killed"] >= 1
        jobs.at_failpoints(campaign, receiver.port, {"steps": ["job.recording"]}, lambda line: None)
        campaign.check()


def test_of_each_kind_of_job_another_worker_does_what_one_that_died_has_left_and_does_it_once(tmp_path: Path) -> None:
    kills, database = one_of_each(), "postgresql" if POSTGRESQL else "sqlite"
    with job_kills.installed(database, tmp_path, kills, PACS_JOB_LEASE="600") as campaign:
        campaign.together(kills)
        assert campaign.kills == dict.fromkeys(OF_KIND, 1)


def test_images_are_taken_and_indexed_later_while_the_database_is_away(tmp_path: Path) -> None:
    database = "postgresql" if POSTGRESQL else "sqlite"
    with node_on(database, tmp_path, PACS_PROCESSES="2", CELERY_BROKER_URL="redis://127.0.0.1:1/0") as (node, server):
        node.manage("prepare")
        campaign = Campaign(node, seed=3)
        campaign.start()
        away = (lambda: postgresql_stopped(server, "immediate")) if server else (lambda: sqlite_locked(node))
        campaign.without_database(1, away, seconds=5)
        campaign.settle()
        assert verify.index_is_true(node, campaign.ledger) >= len(campaign.ledger.acknowledged)


@pytest.fixture
def strace() -> None:
    if shutil.which("strace") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("strace is not installed, and CI=true wants every peer")
        pytest.skip("strace is not installed")


@files_alone
def test_success_follows_the_fsync_of_the_file_and_of_its_directory(tmp_path: Path, strace: None) -> None:
    stored, faults = fsync_order.watch(tmp_path, images=20)
    assert (stored, faults) == (20, [])


@files_alone
@pytest.mark.parametrize(
    ("failpoint", "fault"),
    [("intake.sync:skip", "no fdatasync of the file"), ("intake.directory_sync:skip", "no fsync of the directory")],
)
def test_the_order_check_goes_red_without(tmp_path: Path, strace: None, failpoint: str, fault: str) -> None:
    stored, faults = fsync_order.watch(tmp_path, images=5, failpoint=failpoint)
    assert stored == 5
    assert all(fault in each for each in faults)
    assert len(faults) == 5


def test_one_flipped_bit_is_found_among_many_references_on_both_ways_of_reporting(tmp_path: Path) -> None:
    with Node(tmp_path, PACS_PROCESSES="1", PACS_COMMITMENT_WAIT="0") as node:
        node.start()
        for outcome in commitment.run(node, tmp_path / "files", references=60, many=1200):
            assert outcome.growth <= 64, outcome


def test_many_associations_at_once_lose_nothing(node: Node) -> None:
    node.start()
    load.many_associations(node, associations=40, instances=20)


@pytest.mark.skipif(not POSTGRESQL, reason="two nodes share a PostgreSQL server")
def test_two_nodes_make_one_row_of_a_study_that_begins_on_both(tmp_path: Path) -> None:
    assert len(list(two_nodes.run(tmp_path, os.environ["DATABASE_URL"], rounds=2, studies=20))) == 2


@files_alone
def test_an_instance_of_128_megabytes_costs_no_more_memory_than_a_small_one(node: Node, tmp_path: Path) -> None:
    peer("getscu")
    node.start()
    for growth in memory.trial(node, tmp_path, 128 << 20):
        assert growth.size <= 32 << 20, growth


def test_no_request_that_the_description_allows_or_forbids_ends_in_a_5xx(node: Node) -> None:
    node.start("standalone")
    node.manage("import", *openapi.files())
    outcome = openapi.run(f"http://{node.host}:{node.http_port}", ("admin", node.admin_password), examples=12)
    assert not outcome.failures
    found = {name for name in outcome.statuses if name.endswith(" 200")}
    assert len(found) >= 10  # it reaches what we hold, not 404 alone


def test_a_large_send_is_followed_cancelled_paused_and_finished(tmp_path: Path) -> None:
    said = sending.run(tmp_path, instances=600, delay=0.002)
    assert said.startswith("600 instances: seen to go on")
