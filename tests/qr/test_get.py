"""C-GET over the wire: the requester is the receiver, on the same association (WIRE 23, 24)."""

import subprocess
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pynetdicom import evt
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelGet,
)

from apps.qr import suboperations
from apps.storage import attempts
from dicom.dimse import Association, Message, Response, associate
from dicom.encoding import encode_elements
from tests.peers import peer
from tests.qr.conftest import Serve
from tests.qr.files import SR, assert_same, keep, received
from tests.qr.serving import Serving, identifier
from tests.qr.test_move import CANCEL, FAILED, MISMATCH, PENDING, STUDY, SUCCESS, WARNING, last
from tests.storage.made import CT, EXPLICIT, IMPLICIT, index, receive

STUDY_GET = StudyRootQueryRetrieveInformationModelGet
PATIENT_GET = PatientRootQueryRetrieveInformationModelGet
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

pytestmark = pytest.mark.usefixtures("folders")


def get(
    serving: Serving,
    model: str = STUDY_GET,
    storage: dict[str, list[str]] | None = None,
    answer: Any = lambda event: 0,
    **keys: Any,
) -> tuple[list[Any], dict[str, bytes]]:
    """Responses, and data sets as they came: SOP Instance UID -> bytes."""
    got: dict[str, bytes] = {}

    def take(event: Any) -> int:
        got[event.request.AffectedSOPInstanceUID] = event.request.DataSet.getvalue()
        return int(answer(event))

    storage = {CT: [EXPLICIT]} if storage is None else storage
    with serving.call(model, storage=storage, handlers=[(evt.EVT_C_STORE, take)]) as assoc:
        return list(assoc.send_c_get(identifier(**keys), model)), got


@pytest.mark.parametrize(
    ("model", "keys"),
    [
        ("-P", ["QueryRetrieveLevel=PATIENT", "PatientID=P1"]),
        ("-S", ["QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.2.3"]),
        ("-S", ["QueryRetrieveLevel=SERIES", "StudyInstanceUID=1.2.3", "SeriesInstanceUID=1.2.3.1"]),
        ("-S", ["QueryRetrieveLevel=IMAGE", "SOPInstanceUID=1.2.3.1.1\\1.2.3.1.2"]),
    ],
)
def test_getscu_gets_what_it_names_bit_for_bit(serve: Serve, tmp_path: Path, model: str, keys: list[str]) -> None:
    kept = keep(1, 2)
    keep(9, series="7.7.1", study="7.7", patient_id="P2")
    folder = tmp_path / "got"
    folder.mkdir()
    command = [peer("getscu"), model, "-B", "-od", str(folder)]
    for key in keys:
        command += ["-k", key]
    done = subprocess.run([*command, "127.0.0.1", str(serve().port)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert_same(kept, received(folder))


def test_pending_responses_count_down_and_the_final_names_no_remaining(serve: Serve) -> None:
    kept = keep(1, 2, 3)
    answers, got = get(serve(), **STUDY)
    assert got == kept
    counts = [(s.NumberOfRemainingSuboperations, s.NumberOfCompletedSuboperations) for s, _ in answers[:-1]]
    assert counts == [(2, 1), (1, 2)]
    assert last(answers) == (SUCCESS, (3, 0, 0), [])


def test_an_instance_without_a_context_fails_alone(serve: Serve) -> None:
    kept = keep(1)
    keep(2, series="1.2.3.2", sop_class=SR, modality="SR")
    answers, got = get(serve(), **STUDY)
    assert got == kept
    assert last(answers) == (WARNING, (1, 1, 0), ["1.2.3.2.2"])


def test_a_requester_that_takes_nothing_gets_a_failure(serve: Serve) -> None:
    keep(1)
    answers, _ = get(serve(), storage={SR: [EXPLICIT]}, **STUDY)
    assert last(answers) == (FAILED, (0, 1, 0), ["1.2.3.1.1"])


def test_what_the_requester_answers_counts(serve: Serve) -> None:
    keep(1, 2, 3)
    statuses = iter([0x0000, 0xA700, 0xB000])
    answers, _ = get(serve(), answer=lambda event: next(statuses), **STUDY)
    assert last(answers) == (WARNING, (1, 1, 1), ["1.2.3.1.2"])


@pytest.mark.parametrize("syntax", [IMPLICIT, BIG_ENDIAN])
def test_a_requester_of_another_plain_syntax_gets_the_same_values(serve: Serve, syntax: str) -> None:
    kept = keep(1, patient_id="P1", study_description="Knee")
    answers, got = get(serve(), storage={CT: [syntax]}, **STUDY)
    assert last(answers)[0] == SUCCESS
    wanted = dcmread(BytesIO(kept["1.2.3.1.1"]), force=True)
    file = dcmread(_file(got["1.2.3.1.1"], syntax), force=True)
    assert file.keys() == wanted.keys()
    assert file.StudyDescription == wanted.StudyDescription
    assert (file.Rows, file.Columns) == (wanted.Rows, wanted.Columns)


def _file(data_set: bytes, syntax: str) -> BytesIO:
    meta = f"\2\0\x10\0UI{chr(len(syntax) + len(syntax) % 2)}\0{syntax}" + "\0" * (len(syntax) % 2)
    return BytesIO(b"\0" * 128 + b"DICM" + meta.encode("latin-1") + data_set)


def test_compressed_pixels_go_as_they_are_to_who_takes_them_and_decoded_to_who_does_not(serve: Serve) -> None:
    path = Path(str(get_testdata_file("MR_small_jp2klossless.dcm")))
    ds = dcmread(path)
    whole = path.read_bytes()
    start = whole.index(b"\x08\0\x05\0CS") if b"\x08\0\x05\0CS" in whole else whole.index(b"\x08\0\x08\0CS")
    receive(
        whole[start:],
        transfer_syntax_uid=JPEG_2000_LOSSLESS,
        sop=str(ds.SOPInstanceUID),
        sop_class=str(ds.SOPClassUID),
    )
    index()
    keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": str(ds.StudyInstanceUID)}
    serving = serve()
    _, got = get(serving, storage={str(ds.SOPClassUID): [JPEG_2000_LOSSLESS]}, **keys)
    assert got == {str(ds.SOPInstanceUID): whole[start:]}
    answers, got = get(serving, storage={str(ds.SOPClassUID): [EXPLICIT]}, **keys)
    assert last(answers)[0] == SUCCESS
    (decoded,) = got.values()
    assert dcmread(_file(decoded, EXPLICIT)).PixelData == dcmread(str(get_testdata_file("MR_small.dcm"))).PixelData


def test_an_identifier_without_its_unique_key_is_refused(serve: Serve) -> None:
    answers, _ = get(serve(), PATIENT_GET, QueryRetrieveLevel="STUDY", PatientID="P1")
    assert (answers[-1][0].Status, answers[-1][0].OffendingElement) == (MISMATCH, 0x0020000D)


@pytest.fixture
def caller(serve: Serve) -> Iterator[Association]:
    """Our own requester, which does things in an order that toolkits do not."""
    contexts = [(STUDY_GET, [EXPLICIT]), (CT, [EXPLICIT])]
    with associate(
        "127.0.0.1",
        serve().port,
        calling_ae_title="CALLER",
        called_ae_title="PACS",
        contexts=contexts,
        roles={CT: (True, True)},
    ) as assoc:
        yield assoc


def _identifier() -> bytes:
    return encode_elements([(0x00080052, "CS", b"STUDY"), (0x0020000D, "UI", b"1.2.3")], EXPLICIT)


def test_a_cancel_that_comes_instead_of_a_store_response_is_heeded(caller: Association) -> None:
    keep(1, 2, 3, 4)
    context = caller.context_for(STUDY_GET)
    assert context is not None
    stored: list[str] = []

    def take(assoc: Association, message: Message) -> None:
        stored.append(message.command.affected_sop_instance_uid)
        if len(stored) == 2:
            assoc.cancel(responses.message_id, context)
        assoc.respond(message, 0)

    responses = caller.c_get(context=context, identifier=_identifier(), on_store=take)
    final: Response = list(responses)[-1]
    assert final.status == CANCEL
    assert stored == ["1.2.3.1.1", "1.2.3.1.2"]
    assert final.command.number_of_completed_suboperations == 2
    assert final.command.number_of_remaining_suboperations is None


def test_pending_responses_come_while_one_image_takes_its_time(
    caller: Association, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(1)
    context = caller.context_for(STUDY_GET)
    assert context is not None
    heard = threading.Event()
    context_of = attempts._context

    def slowly(*arguments: Any) -> Any:
        assert heard.wait(60)
        return context_of(*arguments)

    monkeypatch.setattr(suboperations, "HEARTBEAT", 0.05)
    monkeypatch.setattr(attempts, "_context", slowly)
    responses = caller.c_get(
        context=context, identifier=_identifier(), on_store=lambda assoc, message: assoc.respond(message, 0)
    )
    assert [next(responses).status for _ in range(3)] == [PENDING] * 3
    heard.set()
    assert list(responses)[-1].status == SUCCESS
