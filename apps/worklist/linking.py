"""Study meets order: which requested procedure a study of the archive fulfils.

They are brought together by Study Instance UID, else by accession number. Where both also agree on the patient they are
linked; where they do not, they wait for a person. Whatever is looked at again ends the same.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from apps.accounts.principal import Principal
from apps.audit import trail
from apps.audit.trail import Actor
from apps.failpoints import failpoint
from apps.jobs.run import JobRun
from apps.storage.models import SeriesRequest, Study
from apps.worklist.models import TEXT, LinkState, RequestedProcedure, ScheduledProcedureStep, StudyLink, StudyLinkEvent
from dicom.values import name_groups, name_key, parse_date

BY_UID: Final = "study_instance_uid"
BY_ACCESSION: Final = "accession_number"
BY_HAND: Final = "hand"

_ATTEMPTS: Final = 4
_MOST: Final = 1000  # studies that one accession number may bring
_PATIENT: Final = ("patient_id", "issuer_of_patient_id", "patient_name", "patient_birth_date", "patient_sex")
_PROCEDURE: Final = "requested_procedure_id"

Pairs = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    procedure: RequestedProcedure
    matched_by: str
    compared: Pairs
    differences: list[str]


def link_studies(run: JobRun) -> None:
    """A kind of job: studies that changed."""
    uids = run.arguments.get("study_instance_uid", [])
    _look_at(uids, run)
    run.log(f"{len(uids)} studies compared with orders")


def link_orders(run: JobRun) -> None:
    """A kind of job: the studies of orders that changed."""
    uids = studies_of(run.arguments.get("step", []))
    _look_at(uids, run)
    run.log(f"{len(uids)} studies compared with orders")


def _look_at(uids: Iterable[str], run: JobRun) -> None:
    for uid in uids:
        run.check()
        match_study(uid, principal=run.principal)


def studies_of(steps: Collection[int]) -> list[str]:
    """Studies that these orders are about, or were: of the whole patient, who may have changed with one of them."""
    procedures = RequestedProcedure.objects.filter(steps__in=steps).select_related("imaging_service_request")
    found: set[str] = set()
    for procedure in procedures.distinct():
        request = procedure.imaging_service_request
        links = StudyLink.objects.filter(
            Q(requested_procedure=procedure)
            | Q(requested_procedure__imaging_service_request__patient_id=request.patient_id)
        )
        about = Q(study_instance_uid=procedure.study_instance_uid)
        if request.accession_number:
            about |= Q(accession_number=request.accession_number)
        found |= set(links.values_list("study_instance_uid", flat=True))
        found |= set(Study.objects.filter(about).values_list("study_instance_uid", flat=True)[:_MOST])
    return sorted(found)


def match_study(study_instance_uid: str, *, principal: Principal) -> None:
    """Brings the links of a study up to date with it and with the orders."""
    for attempt in range(_ATTEMPTS):
        try:
            with transaction.atomic():
                _match(study_instance_uid, principal)
                failpoint("link.matching")
            failpoint("link.matched")
            return
        except IntegrityError:  # somebody made the same link at the same moment
            if attempt + 1 == _ATTEMPTS:
                raise


def _match(uid: str, principal: Principal) -> None:
    study = Study.objects.select_related("patient").filter(study_instance_uid=uid).first()
    rows = StudyLink.objects.filter(study_instance_uid=uid).select_for_update().order_by("pk")
    links = {link.requested_procedure_id: link for link in rows}
    candidates = list(_candidates(study)) if study else []
    by_hand = {key for key, link in links.items() if link.state == LinkState.LINKED and link.decided_by}
    if by_hand:  # a person said which: nothing else is proposed
        candidates = [candidate for candidate in candidates if candidate.procedure.pk in by_hand]
    for candidate in candidates:
        link = links.pop(candidate.procedure.pk, None)
        if link is None:
            link = StudyLink(study_instance_uid=uid, requested_procedure=candidate.procedure, state=LinkState.WITHDRAWN)
        _settle(link, candidate, principal)
    for link in links.values():
        if not link.decided_by and link.state != LinkState.WITHDRAWN:
            move(link, LinkState.WITHDRAWN, action="withdraw", principal=principal)


def _settle(link: StudyLink, candidate: Candidate, principal: Principal) -> None:
    """The state that what is known gives it, but for what a person decided of the same values."""
    same = link.pk is not None and link.compared == candidate.compared
    link.matched_by, link.compared, link.differences = candidate.matched_by, candidate.compared, candidate.differences
    agreed = not candidate.differences and not link.question
    wanted = LinkState.LINKED if agreed else LinkState.MISMATCH
    if link.decided_by and (same or link.state == LinkState.LINKED):
        wanted = LinkState(link.state)
    if link.pk is None or wanted != link.state:
        link.decided_by = link.reason = ""
        move(link, wanted, action="match", principal=principal)
    elif not same:
        link.save(update_fields=["matched_by", "compared", "differences"])


def move(link: StudyLink, state: LinkState, *, action: str, principal: Principal, reason: str = "") -> None:
    """In the caller's transaction, with the row held."""
    link.state, link.changed_at = state, timezone.now()
    link.revision = link.revision + 1 if link.pk else 1
    link.save()
    StudyLinkEvent.objects.create(
        link=link,
        at=link.changed_at,
        action=action,
        state=state,
        actor=principal.name[:150],
        reason=reason[:TEXT],
        differences=link.differences,
    )
    trail.record(
        actor=Actor.of(principal),
        action=f"{action} study and order",
        object=f"study {link.study_instance_uid}",
        detail={"procedure": link.requested_procedure_id, "state": state, "differences": link.differences}
        | ({"reason": reason} if reason else {}),
    )


def _candidates(study: Study) -> Iterable[Candidate]:
    procedures = RequestedProcedure.objects.select_related("imaging_service_request__patient")
    found = procedures.filter(study_instance_uid=study.study_instance_uid).first()
    if found is not None:
        return [_candidate(study, found, BY_UID)]
    if not study.accession_number:
        return []
    among = procedures.filter(imaging_service_request__accession_number=study.accession_number).order_by("pk")
    if study.issuer_of_accession_number:
        issuers = ("", study.issuer_of_accession_number)
        among = among.filter(imaging_service_request__issuer_of_accession_number__in=issuers)
    chosen = _chosen(study, list(among[:_MOST]))
    return [_candidate(study, procedure, BY_ACCESSION, several=len(chosen) > 1) for procedure in chosen]


def _chosen(study: Study, procedures: list[RequestedProcedure]) -> list[RequestedProcedure]:
    """Of several under one accession number those that the series name."""
    if len(procedures) < 2:
        return procedures
    requests = SeriesRequest.objects.filter(series__study=study).exclude(requested_procedure_id="")
    named = set(requests.values_list("requested_procedure_id", flat=True))
    return [each for each in procedures if each.requested_procedure_id in named] or procedures


def _candidate(study: Study, procedure: RequestedProcedure, matched_by: str, *, several: bool = False) -> Candidate:
    compared = compare(study, procedure)
    certain = matched_by == BY_UID
    differences = [name for name, pair in compared.items() if _differ(name, *pair, certain=certain)]
    if several:
        compared = {**compared, _PROCEDURE: ["", procedure.requested_procedure_id]}
        differences.append(_PROCEDURE)
    return Candidate(procedure=procedure, matched_by=matched_by, compared=compared, differences=differences)


def compare(study: Study, procedure: RequestedProcedure) -> dict[str, list[str]]:
    person = procedure.imaging_service_request.patient
    return {name: [getattr(study.patient, name), getattr(person, name)] for name in _PATIENT}


def _differ(name: str, of_study: str, of_order: str, *, certain: bool) -> bool:
    """What one of them does not say is no difference; without a Study Instance UID in common a patient ID is needed."""
    if not of_study or not of_order:
        return name == "patient_id" and not certain
    if name == "patient_name":
        return _names_differ(of_study, of_order)
    if name == "patient_birth_date":
        return (parse_date(of_study) or of_study) != (parse_date(of_order) or of_order)
    return of_study.strip() != of_order.strip()


def _names_differ(of_study: str, of_order: str) -> bool:
    """In a component group that both write; where there is none, in every way that either writes it."""
    groups = [[name_key(group) for group in name_groups(name)] for name in (of_study, of_order)]
    both = [(one, other) for one, other in zip(*groups, strict=True) if one and other]
    if both:
        return any(one != other for one, other in both)
    return not (set(groups[0]) - {""}) & (set(groups[1]) - {""})


def of_step(step: ScheduledProcedureStep) -> list[StudyLink]:
    """Those that hold."""
    links = StudyLink.objects.filter(requested_procedure_id=step.requested_procedure_id, state=LinkState.LINKED)
    return list(links.order_by("pk"))
