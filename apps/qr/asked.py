"""What a job of sending or exporting is asked for: UIDs of studies, series or instances that are here."""

from collections.abc import Mapping
from typing import Any, Final

from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest
from apps.qr import retrieve
from dicom.values import clean_uid, is_uid

LEVELS: Final = {
    "study_instance_uids": "StudyInstanceUID",
    "series_instance_uids": "SeriesInstanceUID",
    "sop_instance_uids": "SOPInstanceUID",
}
MOST: Final = 10_000  # UIDs in one request; a study may have as many instances as it likes


def uids_by_level(principal: Principal, document: Mapping[str, Any], *, done: str) -> dict[str, list[str]]:
    """By the name of the field; `done` is what the job does with them. Raises InvalidRequest."""
    asked = {field: _uids(document, field) for field in LEVELS if document.get(field)}
    if not asked:
        raise InvalidRequest({"study_instance_uids": f"What is to be {done}? One of " + ", ".join(LEVELS)})
    for field, uids in asked.items():
        if not retrieve.exist(principal, retrieve.by_any(LEVELS[field], uids)):
            raise InvalidRequest({field: "Nothing of this is here"})
    return asked


def _uids(document: Mapping[str, Any], field: str) -> list[str]:
    values = document[field]
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InvalidRequest({field: "a list of UIDs"})
    if len(values) > MOST:
        raise InvalidRequest({field: f"{MOST} at most"})
    uids = list(dict.fromkeys(map(clean_uid, values)))
    if wrong := next((uid for uid in uids if not is_uid(uid)), None):
        raise InvalidRequest({field: f"{wrong[:80]!r} is no UID"})
    return uids
