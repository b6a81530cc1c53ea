"""Names of folders and files of an export: read by people, safe on every file system, each once."""

import re
import unicodedata
from typing import Final

_LONGEST: Final = 60
_UNSAFE: Final = re.compile(r"[^\w .+-]|_")
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def safe(text: str, *, otherwise: str) -> str:
    """No separator, no control character, nothing that means something to a shell or to Windows; never empty."""
    name = " ".join(_UNSAFE.sub(" ", unicodedata.normalize("NFKC", text)).split())
    name = name[:_LONGEST].strip(" .-")
    if not name:
        return otherwise
    return f"{name} file" if _RESERVED.match(name) else name


class Folders:
    """One for each UID: of two that would be called alike, the second has a number."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()
        self._counts: dict[str, int] = {}

    def name(
        self,
        patient: int,
        patient_id: str,
        patient_name: str,
        study_instance_uid: str,
        study_date: str,
        study_description: str,
        series_instance_uid: str,
        series_number: str,
        modality: str,
        series_description: str,
    ) -> str:
        """Of the next instance of this series. `patient` tells those apart who have the same ID, or none."""
        who = safe(f"{patient_id} {patient_name.replace('^', ' ')}", otherwise="patient")
        person = self._folder("", str(patient), who)
        what = safe(f"{study_date} {study_description}", otherwise="study")
        study = self._folder(person, study_instance_uid, what)
        label = safe(f"{series_number} {modality} {series_description}", otherwise="series")
        series = self._folder(study, series_instance_uid, label)
        self._counts[series] = self._counts.get(series, 0) + 1
        return f"{series}/{self._counts[series]:06d}.dcm"

    def _folder(self, above: str, key: str, wanted: str) -> str:
        if (above, key) not in self._names:
            name, number = f"{above}/{wanted}".strip("/"), 1
            while name.casefold() in self._taken:
                number += 1
                name = f"{above}/{wanted} ({number})".strip("/")
            self._taken.add(name.casefold())
            self._names[above, key] = name
        return self._names[above, key]
