"""Addresses of what answers point to, and the unique keys that addresses name."""

from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings

from apps.qr.retrieve import Stored

_PATHS: Final = (("StudyInstanceUID", "studies"), ("SeriesInstanceUID", "series"), ("SOPInstanceUID", "instances"))
_KEYWORDS: Final = {"study": "StudyInstanceUID", "series": "SeriesInstanceUID", "instance": "SOPInstanceUID"}


def unique_keys(uids: Mapping[str, str]) -> dict[str, str]:
    """By keyword; `uids` as `pacs.dicomweb` names the parts of an address."""
    return {_KEYWORDS[name]: uid for name, uid in uids.items()}


def address(keys: Mapping[str, Any]) -> str:
    """Path-absolute, of a study, series or instance."""
    return settings.DICOMWEB + "".join(f"/{name}/{keys[keyword]}" for keyword, name in _PATHS if keyword in keys)


def instance_address(row: Stored) -> str:
    keys = {"StudyInstanceUID": row.study_instance_uid, "SeriesInstanceUID": row.series_instance_uid}
    return address({**keys, "SOPInstanceUID": row.sop_instance_uid})


def bulk_data_address(row: Stored) -> str:
    """Below which the values of an instance are found."""
    return f"{instance_address(row)}/bulkdata"
