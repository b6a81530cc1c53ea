"""Archives of others to ask: DCMTK's and Orthanc, each a process of its own in a folder of its own."""

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.node import free_port, listens, wait_for
from tests.peers import absent, peer

_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_QRSCP = """
NetworkTCPPort = {port}
MaxPDUSize = 16384
MaxAssociations = 16
HostTable BEGIN
{hosts}
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
QRSCP {folder} RW (100, 1024mb) ANY
AETable END
"""


@dataclass(frozen=True, slots=True)
class Remote:
    """`web`: the address of its HTTP server, if it has one."""

    ae_title: str
    port: int
    web: str = ""

    @property
    def dicomweb(self) -> str:
        return f"{self.web}/dicom-web"

    def store(self, *paths: Path) -> None:
        """As the files are, with DCMTK's dcmsend."""
        command = [peer("dcmsend"), "--decompress-never", "-aec", self.ae_title, "127.0.0.1", str(self.port)]
        done = subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def dcmqrscp(folder: Path, destinations: Mapping[str, int] | None = None, port: int = 0) -> Iterator[Remote]:
    """`destinations`: ports of this machine by AE title."""
    home = folder / "qrscp"
    home.mkdir(exist_ok=True)
    port = port or free_port()
    hosts = "\n".join(f"h{at} = ({title}, localhost, {at})" for title, at in (destinations or {}).items())
    configuration = folder / "qrscp.cfg"
    configuration.write_text(_QRSCP.format(port=port, folder=home, hosts=hosts))
    with _running([peer("dcmqrscp"), "-c", str(configuration)], folder, port):
        yield Remote("QRSCP", port)


@contextmanager
def orthanc(folder: Path, destinations: Mapping[str, int] | None = None, port: int = 0) -> Iterator[Remote]:
    """With its DICOMweb plug-in; whoever calls may do everything."""
    port, http_port = port or free_port(), free_port()
    settings = {
        "StorageDirectory": str(folder / "orthanc"),
        "IndexDirectory": str(folder / "orthanc"),
        "DicomAet": "ORTHANC",
        "DicomPort": port,
        "HttpPort": http_port,
        "Plugins": [str(_PLUGIN)] if _PLUGIN.exists() else absent("Orthanc's DICOMweb plug-in is not installed"),
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "AuthenticationEnabled": True,
        "RegisteredUsers": {"reader": "secret of the reader"},
        "RemoteAccessAllowed": False,
        "DicomCheckModalityHost": False,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomModalities": {title: [title, "127.0.0.1", at] for title, at in (destinations or {}).items()},
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(settings))
    with _running([peer("Orthanc"), str(path)], folder, port):
        remote = Remote("ORTHANC", port, f"http://127.0.0.1:{http_port}")
        wait_for(lambda: listens(http_port), what="Orthanc's web side listens")
        yield remote


def files_of_orthanc(remote: Remote) -> dict[str, bytes]:
    """Files as it holds them, by SOP Instance UID."""
    with requests.Session() as session:
        session.auth = ("reader", "secret of the reader")
        rows = session.get(f"{remote.web}/instances?expand", timeout=30).json()
        return {
            row["MainDicomTags"]["SOPInstanceUID"]: session.get(
                f"{remote.web}/instances/{row['ID']}/file", timeout=30
            ).content
            for row in rows
        }


@contextmanager
def deaf(heard: threading.Event) -> Iterator[int]:
    """Connections are taken, and never a word is said; the port. `heard`: somebody is there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connected: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connected.append(server.accept()[0])
                    heard.set()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for each in connected:
            each.close()


@contextmanager
def _running(command: list[str], folder: Path, port: int) -> Iterator[None]:
    # Nagle's algorithm would cost each instance 40 ms.
    environment = {**os.environ, "TCP_NODELAY": "1"}
    with open(folder / f"{Path(command[0]).name}.out", "wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: listens(port), what=f"{command[0]} listens")
        yield
    finally:
        process.terminate()
        process.wait()
