"""What comes is sent on by the rules: once, to the right ones, whatever happens in between."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from apps.accounts.principal import system
from apps.accounts.users import principal_of
from apps.failpoints import arm
from apps.jobs import kind, outbox, queue
from apps.jobs.models import Job, JobItem, JobState, OutboxEvent
from apps.jobs.runner import run_due
from apps.network.models import DicomwebServer, Peer
from apps.routing import rules, sending, upkeep
from apps.routing.models import Destination, RoutedInstance
from apps.routing.rules import Draft
from apps.storage import archive
from apps.storage.models import DeletedInstance
from tests.routing.made import ADMIN, come, condition, pass_time, peer, rule, run_routing, sent
from tests.storage import made

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def peers() -> None:
    peer("WS")
    peer("ARCHIVE")


def test_each_image_is_sent_on_at_once_when_a_rule_says_so() -> None:
    made_rule = rule(when="image", conditions=[condition("modality", "is", "CT")], priority=7)
    come(1, 2)
    come(1, series="1.2.3.2", modality="SR")
    run_routing()
    assert sent() == [("WS", ["1.2.3.1.1", "1.2.3.1.2"])]
    job = Job.objects.get(kind="send")
    assert (job.submitted_by, job.peer, job.priority) == ("routing To the workstation", "WS", 7)
    made_rule.refresh_from_db()
    assert (made_rule.fired, made_rule.images) == (1, 2)
    assert made_rule.last_fired_at is not None


def test_no_news_of_images_is_written_unless_a_rule_waits_for_them() -> None:
    rule(when="quiet")
    made.receive()
    made.index()
    assert {event.event for event in OutboxEvent.objects.all()} == {"study_changed"}


def test_no_job_looks_at_studies_unless_a_rule_waits_for_them() -> None:
    rule(enabled=False)
    come(1)
    assert not Job.objects.filter(kind="route").exists()


def test_a_study_waits_as_long_as_it_grows_and_is_sent_whole_when_it_is_quiet() -> None:
    rule(quiet_seconds=60)
    come(1)
    pass_time(40)
    come(2)
    pass_time(40)
    assert sent() == []
    pass_time(30)
    assert sent() == [("WS", ["1.2.3.1.1", "1.2.3.1.2"])]


def test_of_a_study_that_grows_again_only_what_is_new_is_sent() -> None:
    rule(quiet_seconds=60)
    come(1, 2)
    pass_time(70)
    come(3)
    pass_time(70)
    assert sent() == [("WS", ["1.2.3.1.1", "1.2.3.1.2"]), ("WS", ["1.2.3.1.3"])]


def test_rules_of_different_patience_act_one_after_the_other() -> None:
    rule("soon", quiet_seconds=60)
    rule("late", quiet_seconds=300, destinations=["ARCHIVE"])
    come(1)
    pass_time(70)
    come(2)
    pass_time(100)
    assert [name for name, _ in sent()] == ["WS", "WS"]
    pass_time(250)
    assert sent()[2:] == [("ARCHIVE", ["1.2.3.1.1", "1.2.3.1.2"])]


def test_two_rules_of_one_destination_send_an_image_once() -> None:
    rule("all")
    rule("ct", conditions=[condition("modality", "is", "CT")], destinations=["WS", "ARCHIVE"])
    come(1)
    pass_time(70)
    assert sent() == [("WS", ["1.2.3.1.1"]), ("ARCHIVE", ["1.2.3.1.1"])]


def test_a_rule_that_stops_keeps_its_images_from_later_ones_of_either_kind() -> None:
    rule("ct", when="quiet", conditions=[condition("modality", "is", "CT")], stops=True)
    rule("rest", when="image", destinations=["ARCHIVE"])
    come(1)
    come(1, series="1.2.3.2", modality="SR")
    run_routing()
    pass_time(70)
    assert sent() == [("ARCHIVE", ["1.2.3.2.1"]), ("WS", ["1.2.3.1.1"])]


def test_nothing_goes_back_to_where_it_came_from() -> None:
    rule(destinations=["WS", "ARCHIVE"])
    peer("anybody", ae_title="*", host="", port=None)
    come(1, source=made.provenance(peer="WS", calling_ae_title="OTHER"))
    come(2, source=made.provenance(peer="anybody", calling_ae_title="WS"))
    come(3, source=made.provenance(peer="ARCHIVE", calling_ae_title="WS"))
    pass_time(70)
    assert sent() == [("WS", ["1.2.3.1.3"]), ("ARCHIVE", ["1.2.3.1.1", "1.2.3.1.2"])]


def test_the_same_image_again_is_not_sent_again_but_another_version_is() -> None:
    rule(when="image")
    come(1)
    come(1)
    run_routing()
    newer = made.provenance(policy="make_current")
    made.receive(sop="1.2.3.1.1", pixels=b"other!!!", source=newer)
    made.index()
    outbox.dispatch()
    run_routing()
    assert sent() == [("WS", ["1.2.3.1.1"])] * 2


def test_a_rule_that_is_off_sends_nothing() -> None:
    off = rule()
    come(1)
    rules.save(Draft.read({"enabled": False}, base=Draft.of(off)), principal=ADMIN, rule=off)
    pass_time(70)
    assert sent() == []


def test_images_that_were_there_before_the_rule_stay_here() -> None:
    come(1)
    rule()
    come(2)
    pass_time(70)
    assert sent() == [("WS", ["1.2.3.1.2"])]


def test_a_plan_of_stored_studies_that_was_broken_off_is_made_anew() -> None:
    come(1)
    come(1, study="1.2.4")
    kept = rule(enabled=False)
    admin = principal_of(User.objects.create_superuser("root"))
    job = kind.request("apply_routing_rule", principal=admin, arguments={"rule": kept.pk})
    JobItem.objects.create(job=job, position=0, key="1.2.3")  # a worker died after this page
    run_routing()
    assert len(sent()) == 2
    job.refresh_from_db()
    assert (job.state, job.done, job.total) == (JobState.SUCCEEDED, 2, 2)


def test_stored_studies_are_sent_when_somebody_asks_for_it() -> None:
    come(1)
    come(1, study="1.2.4", modality="MR")
    kept = rule(conditions=[condition("modality", "is", "CT")], enabled=False)
    admin = principal_of(User.objects.create_superuser("root"))
    kind.request("apply_routing_rule", principal=admin, arguments={"rule": kept.pk, "filter": {"PatientID": "P1"}})
    run_routing()
    assert sent() == [("WS", ["1.2.3.1.1"])]
    kind.request("apply_routing_rule", principal=admin, arguments={"rule": kept.pk})
    run_routing()
    assert len(sent()) == 1
    kind.request("apply_routing_rule", principal=admin, arguments={"rule": kept.pk, "again": True})
    run_routing()
    assert len(sent()) == 2
    assert RoutedInstance.objects.count() == 1


def test_a_rule_that_waits_to_be_applied_to_some_studies_is_applied_to_others_too() -> None:
    kept = rule(enabled=False)
    admin = principal_of(User.objects.create_superuser("root"))
    jobs = [
        kind.request("apply_routing_rule", principal=admin, arguments={"rule": kept.pk, "filter": {"PatientID": who}})
        for who in ("P1", "P2", "P1")
    ]
    assert [job.arguments["filter"]["PatientID"] for job in jobs] == ["P1", "P2", "P1"]
    assert jobs[0] == jobs[2] != jobs[1]


@pytest.mark.parametrize("step", sending.STEPS)
def test_a_worker_that_dies_at_any_step_loses_nothing_and_sends_nothing_twice(step: str) -> None:
    rule(destinations=["WS", "ARCHIVE"])
    come(1, 2)
    arm(f"{step}:raise:1")
    pass_time(70)
    arm("")
    Job.objects.filter(kind="route", state=JobState.QUEUED).update(due_at=timezone.now())
    run_routing()
    assert sorted(sent()) == [("ARCHIVE", ["1.2.3.1.1", "1.2.3.1.2"]), ("WS", ["1.2.3.1.1", "1.2.3.1.2"])]
    assert RoutedInstance.objects.count() == 4


def test_a_peer_that_was_renamed_is_sent_to_by_its_new_name() -> None:
    rule()
    Peer.objects.filter(name="WS").update(name="READING")
    come(1)
    pass_time(70)
    assert sent() == [("READING", ["1.2.3.1.1"])]


def test_a_peer_that_was_removed_leaves_a_trace_and_others_get_theirs() -> None:
    broken = rule(destinations=["WS", "ARCHIVE"])
    come(1)
    Peer.objects.get(name="WS").delete()
    pass_time(70)
    assert sent() == [("ARCHIVE", ["1.2.3.1.1"])]
    broken.refresh_from_db()
    assert "WS is not there any more: 1 images were not sent" in broken.last_error
    failed = Job.objects.get(kind="route", state=JobState.FAILED)
    assert "not there any more" in failed.items.get().error
    # Once the rule names another, what was missed is sent by trying again.
    peer("WS2")
    rules.save(Draft.read({"destinations": ["WS2", "ARCHIVE"]}, base=Draft.of(broken)), principal=ADMIN, rule=broken)
    queue.retry(failed, principal=ADMIN)
    run_routing()
    assert sent() == [("ARCHIVE", ["1.2.3.1.1"]), ("WS2", ["1.2.3.1.1"])]


def test_what_is_for_a_peer_that_is_switched_off_waits_for_it() -> None:
    rule()
    come(1)
    Peer.objects.update(enabled=False)
    pass_time(70)
    assert sent() == [("WS", ["1.2.3.1.1"])]


def server(name: str) -> DicomwebServer:
    return DicomwebServer.objects.create(name=name, url="http://127.0.0.1:9/dicom-web")


def test_a_server_is_sent_to_over_the_web_also_one_of_the_name_of_a_peer() -> None:
    server("WS")
    rule(destinations=["WS", "dicomweb:WS"], when="image")
    come(1)
    run_routing()
    jobs = Job.objects.filter(kind__in=("send", "stow")).order_by("kind").values_list("kind", "peer", "arguments")
    assert list(jobs) == [
        ("send", "WS", {"peer": "WS", "sop_instance_uids": ["1.2.3.1.1"]}),
        ("stow", "WS", {"server": "WS", "sop_instance_uids": ["1.2.3.1.1"]}),
    ]


def test_what_came_from_a_server_does_not_go_back_there() -> None:
    server("cloud")
    rule(destinations=["WS", "dicomweb:cloud"], when="image")
    come(1, source=made.provenance(peer="cloud", calling_ae_title=""))
    run_routing()
    assert sent() == [("WS", ["1.2.3.1.1"])]
    assert not Job.objects.filter(kind="stow").exists()


def test_a_server_that_was_removed_leaves_a_trace() -> None:
    server("cloud")
    row = rule(destinations=["dicomweb:cloud"], when="image")
    DicomwebServer.objects.all().delete()
    come(1)
    run_routing()
    row.refresh_from_db()
    assert "dicomweb:cloud is not there any more: 1 images were not sent" in row.last_error


def prune() -> None:
    queue.submit(kind="prune_routed", principal=system("test"))
    run_due()


def age_marks() -> None:
    RoutedInstance.objects.update(routed_at=timezone.now() - timedelta(days=2))


def test_marks_go_once_their_image_is_gone_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "_PAGE", 2)
    rule(when="image")
    come(1, 2, 3, study="1.2.3")
    come(1, 2, study="4.5.6")
    run_routing()
    age_marks()
    prune()
    assert RoutedInstance.objects.count() == 5
    archive.delete(principal=ADMIN, study_instance_uid="1.2.3")
    prune()
    assert RoutedInstance.objects.count() == 5  # it can be put back
    DeletedInstance.objects.update(deleted_at=timezone.now() - timedelta(days=9))
    archive.purge(principal=ADMIN)
    prune()
    left = RoutedInstance.objects.order_by("pk").values_list("sop_instance_uid", flat=True)
    assert list(left) == ["4.5.6.1.1", "4.5.6.1.2"]


def test_marks_of_a_destination_go_with_the_last_rule_that_names_it_once_it_is_removed() -> None:
    row = rule(when="image", destinations=["WS", "ARCHIVE"])
    come(1)
    run_routing()
    Peer.objects.get(name="WS").delete()
    prune()
    assert RoutedInstance.objects.count() == 2
    rules.save(Draft.read({"destinations": ["ARCHIVE"]}, base=Draft.of(row)), principal=ADMIN, rule=row)
    prune()
    assert RoutedInstance.objects.get().destination.name == "ARCHIVE"
    assert Destination.objects.get().name == "ARCHIVE"


def test_news_of_many_images_are_jobs_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "GATHERED", 2)
    rule(when="image")
    come(1, 2, 3)
    assert [len(job.arguments["sop_instance_uid"]) for job in Job.objects.filter(kind="route").order_by("id")] == [2, 1]
    run_routing()
    assert [len(images) for _, images in sent()] == [2, 1]
