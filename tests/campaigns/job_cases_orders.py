"""Cases of the campaign of kills: orders, performed steps, commitment, routing."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.conf import settings
from pydicom.dataset import Dataset

from apps.accounts.principal import Kind, Principal
from apps.audit.models import AuditEvent
from apps.commitment import received
from apps.commitment.models import CommitmentRequest, Direction, State
from apps.jobs import runner
from apps.jobs.models import Job, JobState
from apps.mpps import procedure_step
from apps.mpps.models import ForwardedStep, PerformedProcedureStep, ScheduledStepAttributes
from apps.routing.models import RoutedInstance, RoutingRule
from apps.worklist import schedule
from apps.worklist.models import LinkState, ScheduledProcedureStep, StudyLink
from apps.worklist.order import Order
from dicom import jsonmodel
from dicom.commitment import Commitment, Reference
from dicom.datasets import encode
from dicom.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN, Service
from tests.campaigns.job_case import CAMPAIGN, At, Case, asked, of_study, own
from tests.campaigns.job_cases_images import arrived
from tests.campaigns.job_points import IMAGES
from tests.mpps.reporting import begun, ended, scheduled

CT = Principal(kind=Kind.PEER, name="ct", ae_title="CT1", services=frozenset({Service.MPPS}))
MODALITY = Principal(kind=Kind.PEER, name="modality", ae_title="MODALITY", services=frozenset({Service.COMMITMENT}))


# Orders and steps


def _order(at: At) -> ScheduledProcedureStep:
    order = Order(
        patient_id=f"K{at.number}",
        patient_name="Kill^Test",
        study_instance_uid=at.study,
        scheduled_procedure_step_id=f"LP{at.number}",
    )
    return schedule.schedule(principal=CAMPAIGN, order=order)


def _link_studies(at: At) -> Job:
    _order(at)
    return own("link_studies", arguments={"study_instance_uid": [at.study]})


def _link_orders(at: At) -> Job:
    return own("link_orders", arguments={"step": [_order(at).pk]})


def _linked(at: At, job: Job) -> None:
    (link,) = StudyLink.objects.filter(study_instance_uid=at.study)
    assert (link.state, link.revision, link.events.count()) == (LinkState.LINKED, 1, 1)
    told = AuditEvent.objects.filter(action="match study and order", object_kind="study", object_uid=at.study).count()
    assert told == 1, f"told of {told} times"


def _plain(ds: Dataset) -> Any:
    return jsonmodel.read(encode(ds, EXPLICIT_VR_LITTLE_ENDIAN), EXPLICIT_VR_LITTLE_ENDIAN)


def _performed(at: At, **item: Any) -> PerformedProcedureStep:
    ds = begun(scheduled(**item), PatientID=f"K{at.number}", PatientName="Kill^Test")
    return procedure_step.create(principal=CT, sop_instance_uid=f"1.2.6.{at.number}", data_set=_plain(ds))


def _link_performed(at: At) -> Job:
    _performed(at, StudyInstanceUID=at.study, ScheduledProcedureStepID=f"LP{at.number}")
    return own("link_performed", arguments={"step": [_order(at).pk]})


def _adopted(at: At, job: Job) -> None:
    (item,) = ScheduledStepAttributes.objects.filter(performed__sop_instance_uid=f"1.2.6.{at.number}")
    assert item.step, "not linked"
    assert item.step.status == "STARTED"
    assert item.step.events.filter(action="performed").count() == 1, "moved on more than once"


def _forward(at: At) -> Job:
    step = _performed(at)
    procedure_step.modify(
        principal=CT, sop_instance_uid=step.sop_instance_uid, changes=_plain(ended("COMPLETED", "1.2.3.4.9"))
    )
    return own("forward_mpps", arguments={"performed": step.pk}, key=str(step.pk))


def _forwarded(at: At, job: Job) -> None:
    told = at.facts["steps"].get(f"1.2.6.{at.number}")
    assert told == ["COMPLETED", 1, 1], f"the RIS knows {told}"
    (row,) = ForwardedStep.objects.filter(performed__sop_instance_uid=f"1.2.6.{at.number}")
    assert row.created
    assert row.digest


def _imported_worklist(at: At, job: Job) -> None:
    order = "requested_procedure__imaging_service_request__patient__patient_id"
    steps = list(ScheduledProcedureStep.objects.filter(**{order: f"W{at.number}"}))
    assert len(steps) == IMAGES, f"{len(steps)} steps"
    assert all(step.events.count() == 1 for step in steps), "scheduled more than once"


# Commitment


def _request(at: At) -> CommitmentRequest:
    references = [Reference(row.sop_class_uid, row.sop_instance_uid) for row in at.images]
    return received.receive(
        principal=MODALITY,
        commitment=Commitment(f"1.2.5.{at.number}", references),
        calling_ae_title="MODALITY",
        called_ae_title=settings.AE_TITLE,
    )


def _decide(at: At) -> Job:
    job = _request(at).job
    assert job
    return job


def _report(at: At) -> Job:
    request = _request(at)
    assert request.job
    Job.objects.filter(pk=request.job.pk).update(priority=2000)
    runner.run_due(limit=1)
    return Job.objects.get(kind="commitment_report", key=str(request.pk))


def _reported(at: At, job: Job) -> None:
    request = CommitmentRequest.objects.get(transaction_uid=f"1.2.5.{at.number}", direction=Direction.RECEIVED)
    assert (request.state, request.committed, request.failed) == (State.REPORTED, IMAGES, 0)
    reports = at.facts["reports"].get(request.transaction_uid)
    assert reports == [[row.sop_instance_uid for row in at.images]], f"the modality was told {reports}"


def _committed(at: At, job: Job) -> None:
    assert (job.result["committed"], job.result["failed"]) == (IMAGES, 0), job.result
    (request,) = CommitmentRequest.objects.filter(job=job, direction=Direction.SENT)
    assert (request.state, request.references) == (State.REPORTED, IMAGES)


# Routing


def _route(at: At) -> Job:
    return own("route", arguments={"sop_instance_uid": [row.sop_instance_uid for row in at.images]})


def _apply(at: At) -> Job:
    rule = RoutingRule.objects.get(name="apply")
    return asked("apply_routing_rule", rule=rule.pk, filter={"StudyInstanceUID": at.study})


def _routed(peer: str) -> Callable[[At, Job], None]:
    def check(at: At, job: Job) -> None:
        uids = [row.sop_instance_uid for row in at.images]
        marks = RoutedInstance.objects.filter(sop_instance_uid__in=uids, destination__peer__name=peer)
        assert marks.count() == IMAGES, f"{marks.count()} marks"
        (key,) = marks.order_by().values_list("job", flat=True).distinct()
        (sent,) = [each for each in Job.objects.filter(kind="send", peer=peer) if set(_sops(each)) & set(uids)]
        assert (sent.pk, sent.state, sent.done) == (key, JobState.SUCCEEDED, IMAGES), "not sent by one job"
        arrived(at)

    return check


def _sops(job: Job) -> Sequence[str]:
    uids: Sequence[str] = job.arguments.get("sop_instance_uids", ())
    return uids


CASES: Mapping[str, Case] = {
    "import_worklist": Case(
        lambda at: asked("import_worklist", peer="other", keys={"patient_id": f"W{at.number}"}), _imported_worklist
    ),
    "forward_mpps": Case(_forward, _forwarded),
    "commit": Case(of_study("commit", peer="other"), _committed),
    "commitment_decide": Case(_decide, _reported),
    "commitment_report": Case(_report, _reported),
    "link_studies": Case(_link_studies, _linked),
    "link_orders": Case(_link_orders, _linked),
    "link_performed": Case(_link_performed, _adopted),
    "route": Case(_route, _routed("receiver")),
    "apply_routing_rule": Case(_apply, _routed("second")),
}
