"""Files put aside because they could not be indexed: given back when what was wrong has been mended."""

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.principal import Principal
from apps.audit import trail
from apps.audit.trail import Actor
from apps.storage.models import FailedFile
from apps.storage.spool import Spool
from dicom.errors import DicomError


class NotThere(DicomError):
    """The file is not among those put aside, or this machine does not see that node's spool."""


def retry(*, principal: Principal, row: FailedFile) -> None:
    """Back into `ready/`, from where the indexer takes it. Raises NotThere."""
    spool = Spool(settings.SPOOL.parent / row.node, row.node)
    with transaction.atomic():
        FailedFile.objects.filter(pk=row.pk).update(retried_at=timezone.now())
        trail.record(actor=Actor.of(principal), action="retry", object=f"file {row.name}")
        try:
            spool.take_back(row.name)
        except FileNotFoundError as error:
            raise NotThere(
                f"The file is not in failed/ of node {row.node}, as far as node {settings.NODE} can see"
            ) from error
