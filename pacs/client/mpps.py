"""Performed procedure steps as SCU, for a person at the command line."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apps.mpps import scu
from dicom import jsonmodel
from dicom.dicomjson import Json
from dicom.dimse import Failed
from dicom.encoding import encode_elements
from dicom.errors import DicomError
from dicom.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN
from pacs.client import keys
from pacs.client.report import Report
from pacs.client.target import Caller


class UnreadableFile(DicomError):
    """A file of attributes that is none of the DICOM JSON model."""


def report(
    caller: Caller, told: Report, *, action: str, uid: str, asked: Sequence[tuple[keys.Path, str]], file: Path | None
) -> bool:
    """One N-CREATE, N-SET or N-GET."""
    given = {**_from_file(file), **_from_keys(asked)}
    with caller.associate(scu.CONTEXTS) as assoc:
        try:
            if action == "get":
                return _show(told, scu.show(assoc, uid))
            done = scu.ACTIONS[action](assoc, uid, given)
        except Failed as error:
            told.record(f"{caller.target}: {error}", sop_instance_uid=uid, status=f"{error.status:04X}")
            return False
    told.record(f"{action}: {done}", action=action, sop_instance_uid=done, status="0000")
    return True


def _show(told: Report, data_set: Json) -> bool:
    told.record(json.dumps(data_set, ensure_ascii=False, indent=1), **data_set)
    return True


def _from_file(file: Path | None) -> Json:
    """DICOM JSON: a data set, or a list of one, as DICOMweb has it."""
    if file is None:
        return {}
    try:
        read: Any = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise UnreadableFile(f"{file}: {getattr(error, 'strerror', None) or 'no JSON'}") from error
    data_set = read[0] if isinstance(read, list) and len(read) == 1 else read
    if not isinstance(data_set, dict):
        raise UnreadableFile(f"{file}: no data set of the DICOM JSON model")
    return data_set


def _from_keys(asked: Sequence[tuple[keys.Path, str]]) -> Json:
    encoded = encode_elements(keys.elements("", asked), EXPLICIT_VR_LITTLE_ENDIAN)
    return jsonmodel.read(encoded, EXPLICIT_VR_LITTLE_ENDIAN)
