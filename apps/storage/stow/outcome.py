"""What becomes of one instance."""

from collections.abc import Iterable
from dataclasses import dataclass

from apps.storage import intake
from apps.storage.intake import Refused
from dicom import status
from dicom.part10 import Provenance
from dicom.sop_classes import TRANSFER_SYNTAXES


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one part. `status`: 0, a warning (PS3.18 Table I.2-1) or a failure (Table I.2-2); UIDs as far as known."""

    status: int
    comment: str = ""
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    series_instance_uid: str = ""
    study_instance_uid: str = ""
    name: str = ""  # of its file

    @property
    def is_stored(self) -> bool:
        return bool(self.name)


@dataclass(frozen=True, slots=True)
class Sending:
    """What is said of all instances of a request: who sends them, and the only study they may belong to."""

    provenance: Provenance
    study_instance_uid: str | None

    def receive(
        self,
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        fragments: Iterable[list[memoryview]],
    ) -> Outcome:
        """What `fragments` raises flies."""
        try:
            if transfer_syntax_uid not in TRANSFER_SYNTAXES:
                raise Refused(status.TRANSFER_SYNTAX_NOT_SUPPORTED, "Transfer syntax not supported")
            received = intake.receive(
                provenance=self.provenance,
                sop_class_uid=sop_class_uid,
                sop_instance_uid=sop_instance_uid,
                transfer_syntax_uid=transfer_syntax_uid,
                fragments=fragments,
                study_instance_uid=self.study_instance_uid,
            )
        except Refused as refused:
            return Outcome(refused.status, str(refused), sop_class_uid, sop_instance_uid)
        intake.announce(received)
        return Outcome(
            status.SUCCESS,
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            series_instance_uid=received.header.uid(intake.SERIES_INSTANCE_UID),
            study_instance_uid=received.header.uid(intake.STUDY_INSTANCE_UID),
            name=received.name,
        )
