"""TABLE 3: kind of job -> the verb that does it; `apps.jobs` finds it by the setting JOB_KINDS."""

from collections.abc import Mapping
from datetime import time, timedelta

from apps.accounts import idempotency
from apps.commitment import asking, deciding, reporting
from apps.commitment import upkeep as commitments
from apps.commitment.received import DECIDE
from apps.failpoints import failpoint
from apps.jobs import schedules, upkeep
from apps.jobs.kind import Kind
from apps.jobs.run import JobRun
from apps.mpps import forwarding, scheduled
from apps.network import log
from apps.qr import exporting, retrieving, sending, warm_up, web_retrieving, web_sending
from apps.routing import route
from apps.routing import upkeep as routed
from apps.storage import archive, folders, reindex, removing, verifying
from apps.worklist import import_jobs, linking
from dicom.sop_classes import Service


def purge_deleted(run: JobRun) -> None:
    """The files of what was deleted or discarded a day ago."""
    run.log(f"{archive.purge(principal=run.principal)} files removed for good")


def prune_answers(run: JobRun) -> None:
    """Of requests whose Idempotency-Key counts no more."""
    removed = idempotency.prune()
    failpoint("prune_answers.removed")
    run.log(f"{removed} answers forgotten")


KINDS: Mapping[str, Kind] = {
    "purge_deleted": Kind(purge_deleted, title="Remove the files of what was deleted"),
    "prune_associations": Kind(log.prune_job, title="Forget old associations of the log"),
    "prune_jobs": Kind(upkeep.prune_job, title="Forget old jobs"),
    "prune_answers": Kind(prune_answers, title="Forget answers to requests of days ago"),
    "retrieve": Kind(
        retrieving.retrieve,
        title="Retrieve from a peer",
        check=retrieving.check,
        right=retrieving.may_retrieve,
        maximum_attempts=retrieving.ATTEMPTS,
        longest_delay=retrieving.LONGEST_DELAY,
        example={"peer": "archive", "study_instance_uids": ["1.2.3"]},
    ),
    "prune_commitments": Kind(commitments.prune_job, title="Forget old requests for commitment"),
    "wado": Kind(
        web_retrieving.wado,
        title="Retrieve from a DICOMweb server (WADO-RS)",
        check=web_retrieving.check,
        right=retrieving.may_retrieve,
        maximum_attempts=retrieving.ATTEMPTS,
        longest_delay=retrieving.LONGEST_DELAY,
        example={"server": "cloud", "study_instance_uids": ["1.2.3"]},
    ),
    "stow": Kind(
        web_sending.stow,
        title="Send to a DICOMweb server (STOW-RS)",
        check=web_sending.check,
        right=sending.may_send,
        maximum_attempts=sending.ATTEMPTS,
        longest_delay=sending.LONGEST_DELAY,
        example={"server": "cloud", "study_instance_uids": ["1.2.3"]},
    ),
    "import_worklist": Kind(
        import_jobs.import_worklist,
        title="Import a worklist",
        check=import_jobs.check,
        right=import_jobs.may_import,
        example={"peer": "ris", "days": 1, "keys": {"modality": "CT"}},
    ),
    forwarding.KIND: Kind(
        forwarding.forward,
        title="Report a performed step to a peer (MPPS)",
        check=forwarding.check,
        right=forwarding.may_forward,
        maximum_attempts=forwarding.ATTEMPTS,
        longest_delay=forwarding.LONGEST_DELAY,
        example={"peer": "ris", "sop_instance_uid": "1.2.3"},
    ),
    "warm_up": Kind(warm_up.warm_up),
    DECIDE: Kind(deciding.decide, right=lambda principal: principal.may(Service.COMMITMENT)),
    reporting.REPORT: Kind(reporting.report),
    asking.KIND: Kind(
        asking.commit,
        title="Ask a peer for storage commitment",
        check=asking.check,
        right=asking.may_ask,
        maximum_attempts=asking.ATTEMPTS,
        example={"peer": "ARCHIVE", "study_instance_uids": ["1.2.3"]},
    ),
    verifying.KIND: Kind(
        verifying.verify,
        title="Read all files, and compare them with what was received",
        check=verifying.check,
        maximum_attempts=20,
        example={"rate": verifying.RATE},
    ),
    "link_studies": Kind(linking.link_studies),
    "link_orders": Kind(linking.link_orders),
    "link_performed": Kind(scheduled.link_performed),
    "send": Kind(
        sending.send,
        title="Send to a peer (C-STORE)",
        check=sending.check,
        right=sending.may_send,
        maximum_attempts=sending.ATTEMPTS,
        longest_delay=sending.LONGEST_DELAY,
        example=sending.EXAMPLE,
    ),
    "delete": Kind(
        removing.delete,
        title="Delete studies",
        check=removing.check_deletion,
        right=removing.may_delete,
        example=removing.EXAMPLE,
    ),
    "empty_recycle_area": Kind(
        removing.empty_recycle_area,
        title="Remove for good what was deleted",
        check=removing.check_emptying,
        right=removing.may_delete,
        example={"days": 0},
    ),
    "import": Kind(folders.import_folder, title="Import a folder", check=folders.check, example=folders.EXAMPLE),
    "reindex": Kind(reindex.reindex_job, title="Take into the index what it lacks", check=reindex.check),
    "warm_caches": Kind(
        warm_up.warm_caches,
        title="Make ready what viewers ask for first",
        check=warm_up.check,
        right=warm_up.may_warm,
        example={"study_instance_uids": ["1.2.3"]},
    ),
    exporting.KIND: Kind(
        exporting.export,
        title="Export as a ZIP",
        check=exporting.check,
        right=exporting.may_export,
        example=exporting.EXAMPLE,
    ),
    "prune_exports": Kind(exporting.prune, title="Remove exports that have expired"),
    "prune_routed": Kind(routed.prune_job, title="Forget what was routed of images that are gone"),
    route.KIND: Kind(route.route),
    route.APPLY: Kind(
        route.apply,
        title="Apply a routing rule to stored studies",
        check=route.check,
        example={"rule": 1, "filter": {"StudyDate": "20261101-20261130", "ModalitiesInStudy": "CT"}},
    ),
}

# Once a day each, local time; rows from then on, for an administrator to change.
DAILY: Mapping[str, time] = {
    "purge_deleted": time(2, 10),
    "prune_associations": time(2, 20),
    "prune_jobs": time(2, 30),
    "prune_answers": time(2, 40),
    "prune_commitments": time(2, 50),
    "prune_exports": time(2, 55),
    "prune_routed": time(3, 0),
}


def ensure_schedules() -> None:
    for kind, at in DAILY.items():
        schedules.ensure(name=kind, kind=kind, at=at)
    # Off: to read an archive once may take days, and is for its administrator to decide.
    rate = {"rate": verifying.RATE, "study_instance_uids": []}
    schedules.ensure(name=verifying.KIND, kind=verifying.KIND, every=timedelta(days=7), arguments=rate, enabled=False)
