"""Cases of the campaign of kills: images that come, go, are kept and are given away."""

import shutil
import zipfile
from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from apps.audit.models import AuditEvent
from apps.jobs.models import Job, JobState
from apps.qr import exporting, series_metadata
from apps.qr.api.addresses import bulk_data_address
from apps.qr.series_metadata import Revision
from apps.storage import archive
from apps.storage.models import Conflict, DeletedInstance, Instance, QuarantinedInstance, Series, SeriesRequest, Study
from apps.storage.placement import path_of
from apps.storage.store import store
from tests.campaigns.job_case import (
    LAID_DOWN,
    OLD,
    OURS,
    THEIRS,
    At,
    Case,
    admin,
    asked,
    of_study,
    own,
)
from tests.campaigns.job_points import IMAGES

# Images on their way


def _data_set(row: Instance) -> bytes:
    return path_of(row.path).read_bytes()[row.dataset_offset : row.dataset_offset + row.size]


def arrived(at: At) -> None:
    for row in at.images:
        digests = at.facts["received"].get(row.sop_instance_uid)
        assert digests == [sha256(_data_set(row)).hexdigest()], f"{row.sop_instance_uid} arrived as {digests}"
    assert len(at.images) == IMAGES


def _sent(at: At, job: Job) -> None:
    assert job.done == IMAGES
    arrived(at)


def _stowed(at: At, job: Job) -> None:
    ours = {row.sop_instance_uid: row.digest for row in at.images}
    theirs = {uid: digest for uid, digest in at.facts["theirs"].items() if uid.startswith(f"{at.study}.")}
    assert ours == theirs, f"{len(theirs)} of {len(ours)} are there"
    assert job.done == len(ours) == IMAGES


def _here(at: At, root: str) -> None:
    """Each of these once, as it was, in a file of its own."""
    rows = at.images_of(root)
    assert len(rows) == IMAGES, f"{len(rows)} of {IMAGES} are here"
    others = QuarantinedInstance.objects.filter(study_instance_uid=f"{root}.{at.number}").count()
    assert not others, f"{others} in quarantine"
    for row in rows:
        assert sha256(_data_set(row)).hexdigest() == at.facts["files"][row.sop_instance_uid], "not what it was"
    (series,) = Series.objects.filter(study=rows[0].series.study)
    assert series.number_of_series_related_instances == IMAGES, "miscounted"


def _retrieved(at: At, job: Job) -> None:
    assert job.done == IMAGES
    _here(at, THEIRS)


def _exported(at: At, job: Job) -> None:
    path = exporting.path_of(job)
    assert path, f"there is no file: {job.result}"
    assert job.result["instances"] == IMAGES, job.result
    with zipfile.ZipFile(path) as made:
        assert made.testzip() is None
        files = {name: made.read(name) for name in made.namelist() if name != "DICOMDIR"}
        assert len(files) + 1 == len(made.namelist()), "no DICOMDIR"
    data_sets = {_data_set(row) for row in at.images}
    assert len(files) == len(data_sets) == IMAGES
    assert all(any(content.endswith(each) for each in data_sets) for content in files.values()), "not what it was"
    halves = [each.name for each in exporting.folder().glob(f"{job.pk}.*") if each != path]
    assert not halves, f"left behind: {halves}"
    told = AuditEvent.objects.filter(action="export", object_kind="job", object_uid=str(job.pk)).count()
    assert told == 1, f"told of {told} times"


# Images of ours


def _deleted_before(at: At) -> None:
    archive.delete(principal=admin(), study_instance_uid=at.study, reason="campaign")
    DeletedInstance.objects.filter(study_instance_uid=at.study).update(deleted_at=F("deleted_at") - OLD)


def _empty(at: At) -> Job:
    _deleted_before(at)
    return asked("empty_recycle_area", days=1)


def _purge(at: At) -> Job:
    _deleted_before(at)
    return own("purge_deleted")


def _recycled(at: At, *, records: int) -> list[DeletedInstance]:
    rows = list(DeletedInstance.objects.filter(study_instance_uid=at.study))
    assert len(rows) == IMAGES, f"{len(rows)} rows of what was deleted"
    assert len({row.record for row in rows}) == records
    assert not at.images
    assert not Study.objects.filter(study_instance_uid=at.study).exists()
    return rows


def _deleted(at: At, job: Job) -> None:
    _recycled(at, records=1)
    told = AuditEvent.objects.filter(action="delete", object_kind="study", object_uid=at.study).count()
    assert told == 1, f"told of {told} times"


def _purged(at: At, job: Job) -> None:
    for row in _recycled(at, records=1):
        assert row.purged_at, "a row says that the file is there"
        assert not store().exists(row.path), "the file is there"


def _verified(at: At, job: Job) -> None:
    said = [job.result[name] for name in ("checked", "bytes", "damaged")]
    assert said == [IMAGES, sum(row.size for row in at.images), 0], said


def _warm_up(at: At) -> Job:
    Job.objects.filter(kind="warm_up", state=JobState.QUEUED).delete()
    quiet = timezone.now() - timedelta(minutes=2)
    Series.objects.filter(study__study_instance_uid=at.study).update(changed_at=quiet)
    Study.objects.filter(study_instance_uid=at.study).update(changed_at=quiet)
    shutil.rmtree(settings.DATA / "cache", ignore_errors=True)  # it may have been made ready long ago
    # Another one still changes, so that the next job is asked for.
    busy = Series.objects.exclude(study__study_instance_uid=at.study).latest("pk")
    Series.objects.filter(pk=busy.pk).update(changed_at=timezone.now())
    Study.objects.filter(pk=busy.study_id).update(changed_at=timezone.now())
    return own("warm_up", key="warm_up")


def _warm(at: At, job: Job) -> None:
    (row,) = Series.objects.filter(study__study_instance_uid=at.study).select_related("study")
    revision = Revision(row.pk, row.revision, row.study.study_instance_uid, row.series_instance_uid)
    assert not series_metadata.make(revision, bulk_data_address), "was not made ready"
    assert Job.objects.filter(kind="warm_up", state=JobState.QUEUED).count() <= 1, "asked for the next more than once"


def _lacking(at: At) -> Job:
    """The index, a study of the archive."""
    series = list(Series.objects.filter(study__study_instance_uid=at.study))
    uids = {at.study, *(row.series_instance_uid for row in series)}
    Conflict.objects.filter(key__in=uids).delete()
    SeriesRequest.objects.filter(series__in=series).delete()
    Instance.objects.filter(series__in=series).delete()
    Series.objects.filter(pk__in=[row.pk for row in series]).delete()
    Study.objects.filter(study_instance_uid=at.study).delete()
    return asked("reindex")


CASES: Mapping[str, Case] = {
    "send": Case(of_study("send", peer="receiver"), _sent),
    "stow": Case(of_study("stow", server="web"), _stowed),
    "retrieve": Case(
        lambda at: asked("retrieve", peer="other", study_instance_uids=[f"{THEIRS}.{at.number}"]), _retrieved
    ),
    "wado": Case(lambda at: asked("wado", server="web", study_instance_uids=[f"{THEIRS}.{at.number}"]), _retrieved),
    "export": Case(of_study("export", dicomdir=True), _exported),
    "import": Case(
        lambda at: asked("import", folder=f"{settings.IMPORT_FROM[0]}/{at.number}"),
        lambda at, job: _here(at, LAID_DOWN),
    ),
    "delete": Case(of_study("delete", reason="campaign"), _deleted),
    "empty_recycle_area": Case(_empty, _purged),
    "purge_deleted": Case(_purge, _purged),
    "verify": Case(of_study("verify", rate=0), _verified),
    "warm_caches": Case(of_study("warm_caches"), _warm),
    "warm_up": Case(_warm_up, _warm),
    "reindex": Case(_lacking, lambda at, job: _here(at, OURS)),
}
