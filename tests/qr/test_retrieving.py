"""Jobs that retrieve from archives of others: everything arrives bit for bit, or it is said what did not."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pydicom import dcmread
from pydicom.data import get_testdata_file

from apps.accounts.principal import Kind, Principal, system
from apps.accounts.rest import InvalidRequest
from apps.jobs import kind
from apps.jobs.models import ItemState, Job, JobState
from apps.jobs.runner import run_due
from apps.network.models import Peer
from apps.qr import arrivals, listing, retrieving
from apps.storage.models import Instance
from apps.storage.placement import path_of
from dicom import status
from dicom.dimse import Association, Message, SimpleAcceptor, ThreadedServer, Timeouts, associate
from dicom.encoding import Identifier, encode_elements, read_identifier
from dicom.part10 import meta_group
from dicom.sop_classes import STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE, Service
from tests.node import free_port, wait_for
from tests.qr.indexing import cancel, cancelled_when, indexing, stored
from tests.qr.serving import Serving
from tests.remotes import Remote, dcmqrscp, deaf, files_of_orthanc, orthanc
from tests.storage.made import CT, EXPLICIT, IMPLICIT, data_set

ME = system("test")
STUDY = "1.2.3"
GARBLED = b"\x20\0\x0d\0UI\xff\xff1.2"
FILES = ("CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "SC_rgb_jpeg_dcmtk.dcm", "reportsi.dcm")


@pytest.fixture
def here(folders: None) -> Iterator[Serving]:
    """Our listener, and the indexer of its spool."""
    with indexing(), Serving() as serving:
        yield serving


def made(folder: Path, *numbers: int, study: str = STUDY) -> dict[str, bytes]:
    """Files of a study of two series; their data sets by UID."""
    data = {}
    for number in numbers:
        series = f"{study}.{1 + number % 2}"
        uid = f"{series}.{number}"
        data[uid] = data_set(study=study, series=series, sop=uid, number=str(number), pixels=bytes([number]) * 8)
        meta = meta_group(sop_class_uid=CT, sop_instance_uid=uid, transfer_syntax_uid=EXPLICIT, provenance=None)
        (folder / f"{uid}.dcm").write_bytes(meta + data[uid])
    return data


def files(folder: Path, data: dict[str, bytes]) -> list[Path]:
    return [folder / f"{uid}.dcm" for uid in data]


def known(remote: Remote, name: str = "archive") -> Peer:
    return Peer.objects.create(name=name, ae_title=remote.ae_title, host="127.0.0.1", port=remote.port)


def asked(**arguments: Any) -> Job:
    return kind.request("retrieve", principal=ME, arguments={"peer": "archive", **arguments})


def ran(job: Job) -> Job:
    Job.objects.filter(pk=job.pk, state=JobState.QUEUED).update(due_at=timezone.now())
    run_due()
    job.refresh_from_db()
    return job


@pytest.mark.parametrize("by", ["get", "move"])
def test_a_study_comes_bit_for_bit_from_dcmtk(by: str, here: Serving, tmp_path: Path) -> None:
    data = made(tmp_path, *range(1, 8))
    with dcmqrscp(tmp_path, {"PACS": here.port}) as remote:
        remote.store(*files(tmp_path, data))
        known(remote)
        job = ran(asked(by=by, study_instance_uids=[STUDY]))
    assert (job.state, job.done, job.total, job.error) == (JobState.SUCCEEDED, 7, 7, "")
    assert stored() == data


@pytest.mark.parametrize("by", ["get", "move"])
def test_studies_in_many_transfer_syntaxes_come_as_they_are_from_orthanc(
    by: str, here: Serving, tmp_path: Path
) -> None:
    paths = [Path(str(get_testdata_file(name))) for name in FILES]
    with orthanc(tmp_path, {"PACS": here.port}) as remote:
        remote.store(*paths)
        known(remote)
        held = files_of_orthanc(remote)
        studies = sorted({str(dcmread(path, stop_before_pixels=True).StudyInstanceUID) for path in paths})
        job = ran(asked(by=by, study_instance_uids=studies))
    assert (job.state, job.done, job.error) == (JobState.SUCCEEDED, len(FILES), "")
    assert set(stored()) == set(held)
    for row in Instance.objects.all():
        path = tmp_path / "held.dcm"
        path.write_bytes(held[row.sop_instance_uid])
        theirs, ours = dcmread(path), dcmread(path_of(row.path))
        assert ours.file_meta.TransferSyntaxUID == theirs.file_meta.TransferSyntaxUID
        assert ours == theirs


class Scripted:
    """An archive that lists some instances, and does with a C-MOVE or C-GET what a test wants it to."""

    def __init__(self, data: dict[str, bytes], retrieve: Callable[[Association, Message, list[str]], None]) -> None:
        self.data, self._retrieve = data, retrieve
        self.asked: list[list[str]] = []
        self.lists, self.endless, self.garbled = True, False, False
        syntaxes = (EXPLICIT, IMPLICIT)
        services: dict[str, Any] = {STUDY_ROOT_FIND: (syntaxes, self._find)}
        services |= {uid: (syntaxes, self._handle) for uid in (STUDY_ROOT_MOVE, STUDY_ROOT_GET)}
        self._server = ThreadedServer(("127.0.0.1", 0), SimpleAcceptor(services), timeouts=Timeouts(dimse=30))

    def __enter__(self) -> "Scripted":
        self._server.start()
        Peer.objects.create(name="archive", ae_title="SCRIPTED", host="127.0.0.1", port=self._server.port)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def _find(self, assoc: Association, message: Message) -> None:
        self._answer(assoc, message, read_identifier(message.read(), message.context.transfer_syntax))

    def _answer(self, assoc: Association, message: Message, asked: Identifier) -> None:
        level = asked.text(0x00080052)
        if level == "IMAGE" and not self.lists:
            assoc.respond(message, status.UNABLE_TO_PROCESS)
            return
        while self.endless and level == "SERIES" and not assoc.is_cancelled(message):
            elements = [(0x00080052, "CS", level.encode()), (0x0020000E, "UI", b"1.2.3.1")]
            answer = encode_elements(elements, message.context.transfer_syntax)
            assoc.respond(message, status.PENDING, data_set=answer)
        if self.garbled:
            assoc.respond(message, status.PENDING, data_set=GARBLED)
        series = {uid.rpartition(".")[0] for uid in self.data}
        answers: dict[str, list[Any]] = {
            "SERIES": [(0x0020000E, uid) for uid in sorted(series)],
            "IMAGE": [(0x00080018, uid) for uid in self.data if uid.startswith(f"{asked.text(0x0020000E)}.")],
        }
        for tag, uid in answers.get(level, ()):
            elements = sorted([(tag, "UI", uid.encode()), (0x00080052, "CS", level.encode())])
            answer = encode_elements(elements, message.context.transfer_syntax)
            assoc.respond(message, status.PENDING, data_set=answer)
        assoc.respond(message, status.SUCCESS)

    def _handle(self, assoc: Association, message: Message) -> None:
        asked = read_identifier(message.read(), message.context.transfer_syntax)
        named = [uid for uid in asked.text(0x00080018).split("\\") if uid]
        inside = [uid for uid in self.data if not asked.text(0x0020000E) or asked.text(0x0020000E) in uid]
        self.asked.append(named or inside)
        self._retrieve(assoc, message, named or inside)


def answered(code: int, **counts: Any) -> Callable[[Association, Message, list[str]], None]:
    return lambda assoc, message, uids: assoc.respond(message, code, **counts)


def sent(here: Serving, data: dict[str, bytes], uids: list[str]) -> None:
    """To us, by storage."""
    with associate(
        "127.0.0.1", here.port, calling_ae_title="SENDER", called_ae_title="PACS", contexts=[(CT, [EXPLICIT])]
    ) as sender:
        for uid in uids:
            context = sender.accepted_context(CT)
            sender.c_store(context=context, sop_class_uid=CT, sop_instance_uid=uid, data=data[uid]).check()


def errors(job: Job) -> list[str]:
    return list(job.items.exclude(state=ItemState.SUCCEEDED).values_list("error", flat=True))


def test_a_destination_that_the_peer_does_not_know_fails_the_job_in_words(here: Serving, tmp_path: Path) -> None:
    with Scripted(made(tmp_path, 1, 2), answered(status.RETRIEVE_DESTINATION_UNKNOWN)):
        job = ran(asked(by="move", study_instance_uids=[STUDY]))
    assert (job.state, job.attempts) == (JobState.FAILED, 1)
    assert job.error == (
        "archive: status A801, it does not know PACS as a destination: tell it our AE title, host and port"
    )


def test_what_did_not_arrive_is_named_and_alone_is_asked_for_again(here: Serving, tmp_path: Path) -> None:
    data = made(tmp_path, 2, 4, 6)  # one series
    first, *others = data

    def retrieve(assoc: Association, message: Message, uids: list[str]) -> None:
        wanted = uids if len(archive.asked) > 1 else uids[:1]
        sent(here, data, wanted)
        if wanted == uids:
            assoc.respond(message, status.SUCCESS, completed=len(uids), failed=0, warning=0)
            return
        listed = encode_elements([(0x00080058, "UI", uids[-1].encode())], message.context.transfer_syntax)
        assoc.respond(message, status.RETRIEVE_WARNING, data_set=listed, completed=1, failed=2, warning=0)

    with Scripted(data, retrieve) as archive:
        job = ran(asked(by="move", study_instance_uids=[STUDY]))
        assert (job.state, job.done, job.error) == (JobState.QUEUED, 1, "2 of 3 still to be retrieved")
        assert errors(job) == [
            "It is not here, and archive says nothing of it: status B000, some were not sent",
            "archive could not send it: status B000, some were not sent",
        ]
        job = ran(job)
    assert (job.state, job.done) == (JobState.SUCCEEDED, 3)
    assert archive.asked == [[first, *others], others]
    assert stored() == data


def test_what_is_here_already_is_not_asked_for(here: Serving, tmp_path: Path) -> None:
    data = made(tmp_path, 2, 4)
    sent(here, data, list(data))
    wait_for(lambda: stored().keys() == data.keys())
    with Scripted(data, answered(status.UNABLE_TO_PROCESS)) as archive:
        job = ran(asked(study_instance_uids=[STUDY]))
    assert (job.state, job.done, archive.asked) == (JobState.SUCCEEDED, 2, [])


def test_a_peer_that_says_all_is_sent_and_sends_half_is_not_believed(
    here: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "QUIET", 0.5)
    data = made(tmp_path, 2, 4)

    def retrieve(assoc: Association, message: Message, uids: list[str]) -> None:
        sent(here, data, uids[:1])
        assoc.respond(message, status.SUCCESS, completed=2, failed=0, warning=0)

    with Scripted(data, retrieve):
        job = ran(asked(by="move", study_instance_uids=[STUDY]))
    assert (job.state, job.done) == (JobState.QUEUED, 1)
    assert errors(job) == ["It is not here, and archive says nothing of it"]


@pytest.mark.parametrize("code", [0xA701, 0xA702, 0xA900, 0xC001, 0xFE00, 0x0124])
def test_a_failure_is_told_by_its_status_and_in_words(code: int, here: Serving, tmp_path: Path) -> None:
    with Scripted(made(tmp_path, 2), answered(code, error_comment="so it is")):
        job = ran(asked(by="move", study_instance_uids=[STUDY]))
    assert job.state == JobState.QUEUED
    (error,) = errors(job)
    assert f"status {code:04X}, " in error
    assert error.endswith("(so it is)")


def test_an_archive_that_lists_nothing_is_asked_for_the_whole(here: Serving, tmp_path: Path) -> None:
    data = made(tmp_path, 1, 2, 3)

    def retrieve(assoc: Association, message: Message, uids: list[str]) -> None:
        sent(here, data, uids)
        assoc.respond(message, status.SUCCESS, completed=3, failed=0, warning=0)

    with Scripted(data, retrieve) as archive:
        archive.lists = False
        job = ran(asked(by="move", study_instance_uids=[STUDY]))
    assert (job.state, job.done, job.total) == (JobState.SUCCEEDED, 1, 1)
    assert stored() == data


def test_an_archive_whose_answers_cannot_be_read_is_asked_for_the_whole(here: Serving, tmp_path: Path) -> None:
    data = made(tmp_path, 1, 2)

    def retrieve(assoc: Association, message: Message, uids: list[str]) -> None:
        sent(here, data, uids)
        assoc.respond(message, status.RETRIEVE_WARNING, data_set=GARBLED, completed=2, failed=1, warning=0)

    with Scripted(data, retrieve) as archive:
        archive.garbled = True
        job = ran(asked(by="move", study_instance_uids=[STUDY]))
    assert (job.state, job.error) == (JobState.QUEUED, "1 of 1 still to be retrieved")
    assert errors(job) == ["status B000, some were not sent"]
    assert "An answer cannot be read" in "".join(job.lines.values_list("text", flat=True))
    wait_for(lambda: stored() == data)


def test_a_study_that_the_archive_does_not_have_fails_and_says_so(here: Serving, tmp_path: Path) -> None:
    with Scripted({}, answered(status.SUCCESS, completed=0, failed=0, warning=0)):
        job = ran(asked(by="move", study_instance_uids=[STUDY]))
    assert job.state == JobState.FAILED
    assert errors(job) == ["archive has nothing of this UID"]


@pytest.mark.parametrize("polite", [True, False])
def test_a_cancelled_job_cancels_at_the_peer_or_aborts(polite: bool, here: Serving, tmp_path: Path) -> None:
    data = made(tmp_path, 2, 4)
    ended: list[str] = []

    def retrieve(assoc: Association, message: Message, uids: list[str]) -> None:
        sent(here, data, uids[:1])
        cancel(job)
        wait_for(lambda: assoc.peer_is_gone() or (polite and assoc.is_cancelled(message)))
        ended.append("aborted" if assoc.ended else "cancelled")
        if not assoc.ended:
            assoc.respond(message, status.CANCEL, remaining=1, completed=1, failed=0, warning=0)

    with Scripted(data, retrieve):
        job = asked(by="move", study_instance_uids=[STUDY])
        ran(job)
    assert job.state == JobState.CANCELLED
    assert ended == ["cancelled" if polite else "aborted"]


def test_a_job_that_connects_is_cancelled_though_nobody_answers(here: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.qr.remote_archive.PATIENCE", Timeouts(connect=300, acse=300, dimse=300))
    heard = threading.Event()
    with deaf(heard) as port:
        known(Remote("DEAF", port))
        job = asked(study_instance_uids=[STUDY])
        canceller = cancelled_when(heard, job)
        ran(job)
        canceller.join()
    assert job.state == JobState.CANCELLED


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_job_is_cancelled_though_a_listing_is_not_answered(
    number: int, here: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of series, that of images, that of the classes to propose for a C-GET."""
    monkeypatch.setattr("apps.qr.remote_archive.PATIENCE", Timeouts(connect=5, acse=10, dimse=300))
    ended, heard = threading.Event(), threading.Event()
    questions: list[Identifier] = []

    class Silent(Scripted):
        def _answer(self, assoc: Association, message: Message, asked: Identifier) -> None:
            questions.append(asked)
            if len(questions) < number:
                super()._answer(assoc, message, asked)
                return
            heard.set()
            wait_for(assoc.peer_is_gone)
            ended.set()

    with Silent(made(tmp_path, 2, 4), answered(status.UNABLE_TO_PROCESS)):
        job = asked(by="get", study_instance_uids=[STUDY])
        canceller = cancelled_when(heard, job)
        ran(job)
        canceller.join()
        wait_for(ended.is_set)
    assert (job.state, len(questions)) == (JobState.CANCELLED, number)


def test_a_peer_that_hangs_is_given_up_and_tried_again(
    here: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieving, "PATIENCE", 1.0)

    def retrieve(assoc: Association, message: Message, uids: list[str]) -> None:
        wait_for(assoc.peer_is_gone)

    with Scripted(made(tmp_path, 2), retrieve):
        job = ran(asked(by="move", study_instance_uids=[STUDY]))
    assert (job.state, job.error) == (JobState.QUEUED, "archive has brought nothing for 1 s")


def test_a_list_without_end_is_given_up_and_can_be_cancelled(
    here: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Scripted(made(tmp_path, 2), answered(status.SUCCESS)) as archive:
        archive.endless = True
        job = asked(by="move", study_instance_uids=[STUDY])
        cancelling = threading.Timer(0.5, cancel, [job])
        cancelling.start()
        assert ran(job).state == JobState.CANCELLED
        cancelling.join()
        monkeypatch.setattr(listing, "MOST", 100)
        job = ran(asked(by="move", study_instance_uids=[STUDY]))
    assert job.state == JobState.FAILED
    assert job.error == "archive: It gave more than 100 answers to one question"


def test_a_peer_that_is_not_there_is_tried_again_later(here: Serving) -> None:
    known(Remote("NOBODY", free_port()))
    job = ran(asked(study_instance_uids=[STUDY]))
    assert job.state == JobState.QUEUED
    assert job.error.startswith("archive: Cannot connect to 127.0.0.1:")


@pytest.mark.parametrize("switched", ["off and on", "off for good"])
def test_a_peer_that_is_switched_off_is_waited_for_and_one_that_is_gone_is_not(
    switched: str, here: Serving, tmp_path: Path
) -> None:
    data = made(tmp_path, 1)
    with dcmqrscp(tmp_path, {"PACS": here.port}) as remote:
        remote.store(*files(tmp_path, data))
        peer = known(remote)
        job = asked(study_instance_uids=[STUDY])
        Peer.objects.update(enabled=False)
        assert ran(job).state == JobState.QUEUED
        assert job.error == "The peer archive is disabled, or has no address"
        if switched == "off and on":
            Peer.objects.update(enabled=True)
            assert ran(job).state == JobState.SUCCEEDED
        else:
            peer.delete()
            assert (ran(job).state, job.error) == (JobState.FAILED, "There is no peer archive any more")


def test_get_is_taken_where_it_is_offered_else_move(here: Serving, tmp_path: Path) -> None:
    data = made(tmp_path, 2)

    def retrieve(assoc: Association, message: Message, uids: list[str]) -> None:
        sent(here, data, uids)
        assoc.respond(message, status.SUCCESS, completed=1, failed=0, warning=0)

    # It offers C-GET and no storage class in the role that this needs.
    with Scripted(data, retrieve):
        refused = ran(asked(by="get", study_instance_uids=[STUDY]))
        job = ran(asked(study_instance_uids=[STUDY]))
    assert job.state == JobState.SUCCEEDED
    assert (refused.state, refused.error) == (JobState.FAILED, "archive: C-GET is not offered to us")


def test_single_instances_and_series_are_retrieved(here: Serving, tmp_path: Path) -> None:
    data = made(tmp_path, *range(1, 6))
    with dcmqrscp(tmp_path) as remote:
        remote.store(*files(tmp_path, data))
        known(remote)
        one = ran(asked(study_instance_uid=STUDY, series_instance_uid=f"{STUDY}.1", sop_instance_uids=[f"{STUDY}.1.2"]))
        assert stored().keys() == {f"{STUDY}.1.2"}
        other = ran(asked(study_instance_uid=STUDY, series_instance_uids=[f"{STUDY}.2"]))
    assert (one.state, other.state) == (JobState.SUCCEEDED, JobState.SUCCEEDED)
    assert stored().keys() == {f"{STUDY}.1.2", *(uid for uid in data if uid.startswith(f"{STUDY}.2."))}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"study_instance_uids": []},
        {"study_instance_uids": ["not a uid"]},
        {"study_instance_uids": "1.2"},
        {"study_instance_uids": ["1.2"], "by": "pigeon"},
        {"study_instance_uids": ["1.2"], "series_instance_uids": ["1.2"]},
        {"series_instance_uids": ["1.2"]},
        {"study_instance_uid": "1.2", "sop_instance_uids": ["1.2"]},
        {"study_instance_uids": ["1.2"], "colour": "red"},
        {"study_instance_uids": ["1.2"], "peer": "nobody"},
    ],
)
def test_what_cannot_be_retrieved_is_refused_when_it_is_asked_for(arguments: dict[str, Any], here: Serving) -> None:
    known(Remote("QRSCP", free_port()))
    with pytest.raises(InvalidRequest):
        asked(**arguments)
    assert not Job.objects.exists()


def test_who_may_store_may_retrieve_and_a_peer_never() -> None:
    technologist = Principal(kind=Kind.USER, name="t", services=frozenset({Service.STORE}))
    reader = Principal(kind=Kind.USER, name="r", services=frozenset({Service.FIND, Service.GET}))
    modality = Principal(kind=Kind.PEER, name="m", services=frozenset(Service))
    assert [retrieving.may_retrieve(who) for who in (technologist, reader, modality, ME)] == [True, False, False, True]
