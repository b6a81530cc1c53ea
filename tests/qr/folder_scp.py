"""An archive over a folder, made of pynetdicom: answers C-FIND, C-GET and C-MOVE, and writes down what it has sent."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pynetdicom import AE, build_context, evt
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from tests.remotes import Remote

KEYS = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
PENDING = 0xFF00


@dataclass
class FolderScp:
    """`destinations`: ports of this machine by AE title. `sent`: data sets as they went out, by SOP Instance UID."""

    folder: Path
    destinations: dict[str, int] = field(default_factory=dict)
    sent: dict[str, bytes] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._headers = {path: dcmread(path, stop_before_pixels=True) for path in sorted(self.folder.glob("*.dcm"))}
        headers = self._headers.values()
        self._kinds = sorted({(str(ds.SOPClassUID), str(ds.file_meta.TransferSyntaxUID)) for ds in headers})
        ae = AE("FOLDER")
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelGet)
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelMove)
        for sop_class, syntax in self._kinds:
            ae.add_supported_context(sop_class, syntax, scu_role=False, scp_role=True)
        handlers: list[Any] = [
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_C_GET, self._get),
            (evt.EVT_C_MOVE, self._move),
            (evt.EVT_DIMSE_SENT, self._note),  # of a C-GET
        ]
        self._server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()

    @property
    def remote(self) -> Remote:
        return Remote("FOLDER", self._server.socket.getsockname()[1])

    def _matching(self, identifier: Dataset) -> dict[Path, Dataset]:
        wanted = {key: identifier[key].value for key in KEYS.values() if identifier.get(key)}
        return {
            path: ds
            for path, ds in self._headers.items()
            if all(
                ds[key].value in (value if isinstance(value, MultiValue) else [value]) for key, value in wanted.items()
            )
        }

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset]]:
        level = str(event.identifier.QueryRetrieveLevel)
        found = self._matching(event.identifier).values()
        for ds in {str(ds[KEYS[level]].value): ds for ds in found}.values():
            answer = Dataset()
            answer.QueryRetrieveLevel = level
            for key in KEYS.values():
                setattr(answer, key, ds[key].value if key in event.identifier else "")
            if "SOPClassesInStudy" in event.identifier:
                answer.SOPClassesInStudy = sorted({sop_class for sop_class, _ in self._kinds})
            if "SOPClassUID" in event.identifier:
                answer.SOPClassUID = ds.SOPClassUID
            yield PENDING, answer

    def _get(self, event: evt.Event) -> Iterator[Any]:
        found = self._matching(event.identifier)
        yield len(found)
        yield from ((PENDING, dcmread(path)) for path in found)

    def _move(self, event: evt.Event) -> Iterator[Any]:
        if event.move_destination not in self.destinations:
            yield None, None
            return
        contexts = [build_context(*kind) for kind in self._kinds]
        how = {"contexts": contexts, "evt_handlers": [(evt.EVT_DIMSE_SENT, self._note)]}
        yield "127.0.0.1", self.destinations[event.move_destination], how
        yield from self._get(event)

    def _note(self, event: evt.Event) -> None:
        if isinstance(event.message, C_STORE_RQ):
            data_set = event.message.data_set
            data_set.seek(0)
            self.sent[str(event.message.command_set.AffectedSOPInstanceUID)] = data_set.read()
