"""Kinds of job: studies are deleted, and what was deleted is removed for good."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest, fields, text, whole
from apps.failpoints import failpoint
from apps.jobs.kind import Planned
from apps.jobs.run import JobRun
from apps.storage import archive
from apps.storage.archive import DeletedAlready
from apps.storage.models import Study
from dicom.errors import DicomError
from dicom.values import is_uid

MOST: Final = 10_000  # studies of one job
LONGEST_REASON: Final = 256
LONGEST_AGE: Final = 36_500  # days
_AT_ONCE: Final = 500  # files removed between two looks whether to go on
EXAMPLE: Final = {"study_instance_uids": ["1.2.3"], "reason": "Sent for the wrong patient"}


def may_delete(principal: Principal) -> bool:
    return principal.may_delete


def check_deletion(principal: Principal, arguments: Mapping[str, Any]) -> Planned:
    """`study_instance_uids`, and the `reason`, which the trail keeps. Raises InvalidRequest."""
    said = fields(arguments, "study_instance_uids", "reason")
    reason, uids = text(said, "reason").strip(), said.get("study_instance_uids")
    errors = {}
    if not 0 < len(reason) <= LONGEST_REASON:
        errors["reason"] = f"is needed: 1 to {LONGEST_REASON} characters"
    if not isinstance(uids, list) or not 0 < len(uids) <= MOST:
        errors["study_instance_uids"] = f"a list of 1 to {MOST} UIDs is needed"
    elif not all(isinstance(uid, str) and is_uid(uid) for uid in uids):
        errors["study_instance_uids"] = "holds what is no UID"
    elif missing := _missing(principal, uids):
        errors["study_instance_uids"] = f"there is no study {missing}"
    if errors or not isinstance(uids, list):
        raise InvalidRequest(errors)
    named = list(dict.fromkeys(uids))
    return Planned({"study_instance_uids": named, "reason": reason}, items=named)


def _missing(principal: Principal, uids: list[str]) -> str:
    seen = Study.objects.visible_to(principal).filter(study_instance_uid__any_of=uids)
    return next(iter(sorted(set(uids) - set(seen.values_list("study_instance_uid", flat=True)))), "")


def delete(run: JobRun) -> None:
    """Each study as by hand: restorable for a day. One that is gone already was deleted by an attempt before, or by
    somebody who was quicker."""
    reason = run.arguments["reason"]
    for item in run.items():
        try:
            files = archive.delete(principal=run.principal, study_instance_uid=item.key, reason=reason)
            run.log(f"{item.key}: {files} files")
            failpoint("delete.deleted")
        except DeletedAlready:
            run.log(f"{item.key}: deleted already")
        except DicomError as error:
            run.failed(item, str(error))
            continue
        run.succeeded(item)


def check_emptying(principal: Principal, arguments: Mapping[str, Any]) -> Planned:
    """`days`: what was deleted longer ago; 0: all of it. Raises InvalidRequest."""
    days = whole(fields(arguments, "days"), "days", least=0, most=LONGEST_AGE)
    return Planned({"days": days or 0}, key="empty")


def empty_recycle_area(run: JobRun) -> None:
    removed = 0
    before = timedelta(days=run.arguments["days"])
    while count := archive.purge(principal=run.principal, before=before, most=_AT_ONCE):
        removed += count
        run.progress(removed, removed)
        failpoint("empty.removed")
        run.check()
    run.result(files=removed)
    run.log(f"{removed} files removed for good")
