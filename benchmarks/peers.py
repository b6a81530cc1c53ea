"""The servers that are compared, each started as its owners ship it, on free loopback ports, in a folder of its own."""

import base64
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification

from benchmarks.processes import PeerMissing, Program, debian, free_port

PASSWORD = "benchmarks"
REPOSITORY = Path(__file__).resolve().parent.parent
NAGLE_OFF = {"TCP_NODELAY": "1"}  # read by DCMTK's network code, in its tools and in Orthanc
ORTHANC_DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")  # of Debian's orthanc-dicomweb


@dataclass
class Server:
    """What is listening for DICOM associations."""

    name: ClassVar[str]
    ae_title: ClassVar[str]
    indexes: ClassVar[bool] = True
    folder: Path
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.program = self._program()

    def _program(self) -> Program:
        raise NotImplementedError

    def start(self) -> None:
        self.program.start()
        self.wait_ready()

    def wait_ready(self, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not answers_echo(self.port, self.ae_title):
            if time.monotonic() > deadline or (self.program.process and self.program.process.poll() is not None):
                raise PeerMissing(f"{self.name} did not start: {self.program.log()[-2000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        self.program.stop()

    def count_instances(self, study_instance_uid: str) -> int:
        """How many instances of a study it says it holds."""
        return count_instances(self.port, self.ae_title, study_instance_uid)


@dataclass
class Archive(Server):
    """A server that speaks DICOMweb as well: below `dicomweb`, to whoever sends `headers`."""

    dicomweb: ClassVar[str]
    headers: ClassVar[dict[str, str]] = {}
    http_port: int = field(default_factory=free_port)


@dataclass
class Orthanc(Archive):
    """Debian's Orthanc with its default SQLite index and fsync of every file; only ports, paths and permissions set.

    Its web side has what serves it best: keep-alive, threads enough, no compression of answers (it costs more than it
    saves on loopback), no authentication; metadata complete, as the plug-in has it by default.
    """

    name: ClassVar[str] = "Orthanc"
    ae_title: ClassVar[str] = "ORTHANC"
    dicomweb: ClassVar[str] = "/dicom-web"
    destination_port: int = 0
    nagle: bool = False

    def _program(self) -> Program:
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "SyncStorageArea": True,
            "DicomAet": self.ae_title,
            "DicomPort": self.port,
            "HttpPort": self.http_port,
            "KeepAlive": True,
            "HttpThreadsCount": 50,
            "HttpCompressionEnabled": False,
            "Plugins": [str(ORTHANC_DICOMWEB)] if ORTHANC_DICOMWEB.exists() else [],
            "DicomWeb": {
                "Enable": True,
                "Root": f"{self.dicomweb}/",
                "StudiesMetadata": "Full",
                "SeriesMetadata": "Full",
            },
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomCheckModalityHost": False,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowGet": True,
            "DicomAlwaysAllowMove": True,
            "DicomModalities": {"sink": [Storescp.ae_title, "127.0.0.1", self.destination_port]}
            if self.destination_port
            else {},
        }
        path = self.folder / "orthanc.json"
        path.write_text(json.dumps(settings, indent=2))
        environment = {} if self.nagle else NAGLE_OFF
        return Program(argv=[debian("Orthanc"), str(path)], folder=self.folder, environment=environment)


@dataclass
class Ours(Archive):
    """This repository as `script/server` starts it: standalone, SQLite unless DATABASE_URL says otherwise."""

    name: ClassVar[str] = "PACS"
    ae_title: ClassVar[str] = "PACS"
    dicomweb: ClassVar[str] = "/dicomweb"
    headers: ClassVar[dict[str, str]] = {
        "Authorization": f"Basic {base64.b64encode(f'admin:{PASSWORD}'.encode()).decode()}"
    }
    destination_port: int = 0
    environment: dict[str, str] = field(default_factory=dict)

    def _program(self) -> Program:
        self.environment = {
            "PACS_DATA": str(self.folder / "data"),
            "PACS_HTTP": f"127.0.0.1:{self.http_port}",
            "PACS_DIMSE": f"127.0.0.1:{self.port}",
            "PACS_AE_TITLE": self.ae_title,
            "PACS_ADMIN_PASSWORD": PASSWORD,
            "CI": os.environ.get("CI", ""),
            **self.environment,
        }
        return Program(argv=[str(REPOSITORY / "script" / "server")], folder=self.folder, environment=self.environment)

    def start(self) -> None:
        super().start()
        if self.destination_port:
            self.manage("shell", "-c", DESTINATION.format(ae_title=Storescp.ae_title, port=self.destination_port))
            time.sleep(2.5)  # a changed peer holds within two seconds

    def manage(self, *arguments: str) -> None:
        command = Program(
            argv=[sys.executable, str(REPOSITORY / "manage.py"), *arguments],
            folder=self.folder / "manage",
            environment=self.environment,
        )
        command.start()
        if command.process and command.process.wait(60):
            raise PeerMissing(f"manage.py {arguments[0]} failed: {command.log()[-2000:]}")


DESTINATION = """
from apps.accounts.principal import system
from apps.network import config
from apps.network.models import Peer
config.save(Peer(name="sink", ae_title="{ae_title}", host="127.0.0.1", port={port}), principal=system("benchmarks"))
"""


@dataclass
class Storescp(Server):
    """DCMTK's storescp, bit preserving: writes files without fsync and without an index; or only listens, a sink."""

    name: ClassVar[str] = "storescp"
    ae_title: ClassVar[str] = "SINK"
    indexes: ClassVar[bool] = False
    keep: bool = True

    def _program(self) -> Program:
        received = self.folder / "received"
        received.mkdir(parents=True, exist_ok=True)
        mode = ["+B", "-od", str(received)] if self.keep else ["--ignore"]
        argv = [debian("storescp"), "--fork", "-q", "-aet", self.ae_title, "-pdu", "131072", *mode, str(self.port)]
        return Program(argv=argv, folder=self.folder, environment=NAGLE_OFF)


def _associate(port: int, ae_title: str, sop_class: str):  # type: ignore[no-untyped-def]
    ae = AE(ae_title="BENCH")
    ae.acse_timeout = ae.dimse_timeout = ae.connection_timeout = ae.network_timeout = 30
    ae.add_requested_context(sop_class)
    return ae.associate("127.0.0.1", port, ae_title=ae_title)


def answers_echo(port: int, ae_title: str) -> bool:
    assoc = _associate(port, ae_title, Verification)
    if not assoc.is_established:
        return False
    status = assoc.send_c_echo()
    assoc.release()
    return bool(status) and status.Status == 0


def count_instances(port: int, ae_title: str, study_instance_uid: str) -> int:
    assoc = _associate(port, ae_title, StudyRootQueryRetrieveInformationModelFind)
    query = Dataset()
    query.QueryRetrieveLevel = "IMAGE"
    query.StudyInstanceUID = study_instance_uid
    query.SeriesInstanceUID = ""
    query.SOPInstanceUID = ""
    try:
        return sum(
            answer is not None for _, answer in assoc.send_c_find(query, StudyRootQueryRetrieveInformationModelFind)
        )
    finally:
        assoc.release()
