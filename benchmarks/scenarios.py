"""What is compared: each scenario makes work for a round and names the contenders that do it."""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks import data
from benchmarks.clients import Elapsed, run_together
from benchmarks.floor import durable_writes
from benchmarks.jobs import run_job
from benchmarks.lab import Contender, Lab, Scenario
from benchmarks.peers import NAGLE_OFF, REPOSITORY, Orthanc, Server, Storescp
from benchmarks.processes import PeerMissing, debian


def receive(
    lab: Lab,
    name: str,
    *,
    kind: str,
    associations: int,
    nagle: bool = False,
    servers: Mapping[str, Server] | None = None,
    baseline: str = Orthanc.name,
) -> Scenario:
    """`servers`: by the names of the table; ours, Orthanc and storescp when not given."""
    sizes = (lab.size.stock_512k, lab.size.stock_8k) if nagle else (lab.size.ct_512k, lab.size.ct_8k)
    count, made_from = {"512k": (sizes[0], data.ct_512k()), "8k": (sizes[1], data.ct_8k())}[kind]
    # Four associations share the small images, and store twice as many large ones as one does; a stock storescu is so
    # slow with most servers that each of four has as many as one.
    each = count if nagle else math.ceil(count / associations) if kind == "8k" else count // min(associations, 2)
    contenders = [
        _receiver(lab, label, server, nagle=nagle) for label, server in (servers or _receivers(lab, nagle)).items()
    ]
    floor = partial(_floor, lab.folder / "floor", len(made_from.content), each * associations, associations)
    contenders.append(Contender("disk floor", floor))
    client = "stock storescu (Nagle on)" if nagle else "Nagle off"
    supplies = [data.Supply(made_from, each, lab.folder / "images") for _ in range(associations)]
    return Scenario(
        name=name,
        title=f"receive {kind.upper()}B CT, {associations} association{'s' * (associations > 1)}, {client}",
        unit="instances/s",
        amount=each * associations,
        baseline=baseline,
        contenders=tuple(contenders),
        prepare=lambda: [supply.renewed() for supply in supplies],
    )


def _receivers(lab: Lab, nagle: bool) -> dict[str, Server]:
    if not nagle:
        return {server.name: server for server in (*lab.archives, lab.storescp)}
    archives = {
        "Orthanc, its Nagle off" if server.name == Orthanc.name else server.name: server for server in lab.archives
    }
    return {**archives, Orthanc.name: lab.stock_orthanc, Storescp.name: lab.storescp}


def _receiver(lab: Lab, label: str, server: Server, *, nagle: bool) -> Contender:
    return Contender(
        label,
        lambda sets: lab.storescu(server, [images.folder for images in sets], nagle=nagle),
        server.program,
        check=partial(_all_there, server) if server.indexes else lambda sets: None,
    )


def _all_there(server: Server, sets: Sequence[data.ImageSet]) -> None:
    """What was acknowledged is also found."""
    for images in sets:
        for uid in images.study_instance_uids:
            found = server.count_instances(uid)
            if found != len(images):
                raise PeerMissing(f"{server.name} acknowledged {len(images)} instances of {uid} and finds {found}")


def _floor(folder: Path, size: int, count: int, threads: int, _sets: Sequence[data.ImageSet]) -> Elapsed:
    return Elapsed(durable_writes(folder, size=size, count=count, threads=threads), 0.0)


def receive_multiframe(lab: Lab) -> Scenario:
    made_from = data.template(side=512, frames=lab.size.frames)
    megabytes = len(made_from.content) / 1e6
    supply = data.Supply(made_from, 1, lab.folder / "images")
    floor = Contender("disk floor", partial(_floor, lab.folder / "floor", len(made_from.content), 1, 1))
    return Scenario(
        name="receive-300m",
        title=f"receive one multi-frame image of {megabytes:.0f} MB, Nagle off",
        unit="MB/s",
        amount=megabytes,
        baseline=Orthanc.name,
        contenders=(
            *(_receiver(lab, label, server, nagle=False) for label, server in _receivers(lab, nagle=False).items()),
            floor,
        ),
        prepare=lambda: [supply.renewed()],
    )


def _key(**keys: str) -> list[str]:
    return [part for key, value in keys.items() for part in ("-k", f"{key}={value}")]


def retrieve(lab: Lab, name: str, *, program: str, arguments: Sequence[str], title: str) -> Scenario:
    keys = _key(QueryRetrieveLevel="STUDY", StudyInstanceUID=lab.study.study_instance_uids[0])
    repeats = lab.size.repeats

    def contender(server: Server) -> Contender:
        argv = [debian(program), "-S", "-q", *arguments, "--repeat", str(repeats), "-aec", server.ae_title]
        argv += ["127.0.0.1", str(server.port), *keys]
        return Contender(
            server.name,
            lambda _: run_together([argv], environment=NAGLE_OFF, folder=lab.folder / "clients"),
            server.program,
        )

    return Scenario(
        name=name,
        title=title.format(count=len(lab.study)),
        unit="instances/s",
        amount=len(lab.study) * repeats,
        baseline=Orthanc.name,
        contenders=tuple(contender(server) for server in lab.archives),
    )


RETURN_KEYS = (
    "StudyInstanceUID",
    "PatientName",
    "PatientID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "StudyDescription",
)
COUNTS = ("ModalitiesInStudy", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances")


def find(lab: Lab, name: str, *, title: str, repeats: int, more: Sequence[str] = (), **matching: str) -> Scenario:
    assert lab.many
    keys = {**dict.fromkeys((*RETURN_KEYS, *more), ""), **matching, "QueryRetrieveLevel": "STUDY"}

    def contender(server: Server) -> Contender:
        argv = [debian("findscu"), "-S", "-q", "-sr", "--repeat", str(repeats), "-aec", server.ae_title]
        argv += ["127.0.0.1", str(server.port), *_key(**keys)]
        return Contender(
            server.name,
            lambda _: run_together([argv], environment=NAGLE_OFF, folder=lab.folder / "clients"),
            server.program,
        )

    return Scenario(
        name=name,
        title=f"C-FIND {title}, {lab.size.studies:,} studies",
        unit="queries/s",
        amount=repeats,
        baseline=Orthanc.name,
        contenders=tuple(contender(server) for server in lab.archives),
    )


def send(lab: Lab, name: str, *, kind: str) -> Scenario:
    """The start of each program is taken off: what it needs for one image less."""
    count = {"512k": lab.size.sent_512k, "8k": lab.size.sent_8k}[kind]
    made_from = {"512k": data.ct_512k, "8k": data.ct_8k}[kind]()
    one = data.one_study(made_from, 1, lab.folder / "sent").folder
    many = data.one_study(made_from, count, lab.folder / "sent").folder
    port, ae_title = str(lab.sink.port), lab.sink.ae_title
    clients = {"storescu": [debian("storescu"), "-q", "-aec", ae_title, "+sd", "127.0.0.1", port]}
    left_out = ""
    if kind == "8k":
        left_out = "; pynetdicom, which takes 40 ms an image, is left out"
    else:
        clients["pynetdicom"] = [sys.executable, "-m", "benchmarks.send_pynetdicom", port, ae_title]
    if "pacs" in lab.servers:
        manage = [sys.executable, str(REPOSITORY / "manage.py"), "dicom", "store", f"{ae_title}@127.0.0.1:{port}"]
        clients["dicom.dimse"] = [sys.executable, "-m", "benchmarks.send_ours", port, ae_title]
        clients["manage.py dicom store"] = manage
    environment = {**NAGLE_OFF, "PYTHONPATH": str(REPOSITORY), "PACS_DATA": str(lab.folder / "sender")}

    def contender(label: str, argv: Sequence[str]) -> Contender:
        def work(_: Sequence[data.ImageSet]) -> Elapsed:
            start, whole = (
                run_together([[*argv, str(folder)]], environment=environment, folder=lab.folder / "clients")
                for folder in (one, many)
            )
            return Elapsed(whole.seconds - start.seconds, whole.cpu_seconds - start.cpu_seconds)

        return Contender(label, work)

    return Scenario(
        name=name,
        title=f"send {count} x {kind.upper()}B CT to storescp --ignore, without the start of the program{left_out}",
        unit="instances/s",
        amount=count - 1,
        baseline="storescu",
        contenders=tuple(contender(label, argv) for label, argv in clients.items()),
    )


def send_job(lab: Lab, name: str, *, kind: str) -> Scenario:
    """As above, by a job of the archive that holds the images: its items planned and written down one by one."""
    scenario = send(lab, name, kind=kind)
    if "pacs" not in lab.servers:
        return scenario
    ours = lab.archives[0]
    count = {"512k": lab.size.sent_512k, "8k": lab.size.sent_8k}[kind]
    made_from = {"512k": data.ct_512k, "8k": data.ct_8k}[kind]()
    one, many = (data.one_study(made_from, number, lab.folder / "loaded") for number in (1, count))
    for images in (one, many):
        lab.storescu(ours, [images.folder])

    def work(_: Sequence[data.ImageSet]) -> Elapsed:
        start, whole = (
            run_job(ours, kind="send", peer="sink", study_instance_uids=list(images.study_instance_uids))
            for images in (one, many)
        )
        return Elapsed(whole - start, 0.0)

    others = (contender for contender in scenario.contenders if "dicom" not in contender.name.split())
    return replace(
        scenario,
        title=f"{scenario.title}; the job over REST from an archive on SQLite",
        contenders=(Contender("PACS, job", work, ours.program), *others),
    )


MOVE = ("-aem", Storescp.ae_title)
GET = ("--ignore", "-pdu", "131072")

SCENARIOS: dict[str, Callable[[Lab], Scenario]] = {
    "receive-512k": lambda lab: receive(lab, "receive-512k", kind="512k", associations=1),
    "receive-512k-x4": lambda lab: receive(lab, "receive-512k-x4", kind="512k", associations=4),
    "receive-8k": lambda lab: receive(lab, "receive-8k", kind="8k", associations=1),
    "receive-8k-x4": lambda lab: receive(lab, "receive-8k-x4", kind="8k", associations=4),
    "receive-512k-stock": lambda lab: receive(lab, "receive-512k-stock", kind="512k", associations=1, nagle=True),
    "receive-8k-stock": lambda lab: receive(lab, "receive-8k-stock", kind="8k", associations=1, nagle=True),
    "receive-8k-x4-stock": lambda lab: receive(lab, "receive-8k-x4-stock", kind="8k", associations=4, nagle=True),
    "receive-300m": receive_multiframe,
    "get": lambda lab: retrieve(lab, "get", program="getscu", arguments=GET, title="C-GET {count} x 512 KB CT"),
    "move": lambda lab: retrieve(
        lab, "move", program="movescu", arguments=MOVE, title="C-MOVE {count} x 512 KB CT to storescp --ignore"
    ),
    "find-patient-id": lambda lab: find(
        lab, "find-patient-id", title="by patient ID", repeats=100, PatientID="P0000321"
    ),
    "find-name": lambda lab: find(lab, "find-name", title="by name prefix", repeats=20, PatientName="C0003*"),
    "find-date": lambda lab: find(lab, "find-date", title="by date range", repeats=20, StudyDate="20200301-20200303"),
    "find-date-counts": lambda lab: find(
        lab,
        "find-date-counts",
        title="by date range, with modalities and counts",
        repeats=20,
        more=COUNTS,
        StudyDate="20200301-20200303",
    ),
    "find-all": lambda lab: find(lab, "find-all", title="of everything", repeats=1),
    "send-512k": lambda lab: send(lab, "send-512k", kind="512k"),
    "send-job-512k": lambda lab: send_job(lab, "send-job-512k", kind="512k"),
    "send-8k": lambda lab: send(lab, "send-8k", kind="8k"),
}
