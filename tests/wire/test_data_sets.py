"""WIRE 9 to 11: data sets as real peers write them are stored as they came, found, and got back bit for bit."""

from struct import pack
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.campaigns import wire
from tests.campaigns.wire import COMMAND, LAST, p_data
from tests.dicom.data_sets import UNDEFINED, Writer
from tests.storage.made import CT, EXPLICIT, IMPLICIT
from tests.wire.calls import PATIENT_FIND, Answer, Archive, image, send, without_data_set

pytestmark = pytest.mark.live

BIG_ENDIAN = "1.2.840.10008.1.2.2"
PLAIN, FLAT = Writer(EXPLICIT), Writer(IMPLICIT)
NAME = "Doe^Odd"
UNICODE = "ISO_IR 192"


def odd_image(
    study: str,
    writer: Writer = PLAIN,
    *,
    first: bytes = b"",
    name: bytes = b"Doe^Odd ",
    middle: bytes = b"",
    last: bytes = b"",
    padded: bool = True,
) -> bytes:
    """A CT image of patient `study` with elements of its own first, between header and pixels, and behind these."""
    uids = {tag: f"{study}{end}".encode() for tag, end in ((0x00080018, ".1.1"), (0x0020000D, ""), (0x0020000E, ".1"))}
    values = {tag: value + b"\0" * (padded and len(value) % 2) for tag, value in uids.items()}
    return (
        first
        + writer.element(0x00080016, "UI", CT.encode() + b"\0")
        + writer.element(0x00080018, "UI", values[0x00080018])
        + writer.element(0x00100010, "PN", name)
        + writer.element(0x00100020, "LO", study.encode().ljust(8))
        + writer.element(0x0020000D, "UI", values[0x0020000D])
        + writer.element(0x0020000E, "UI", values[0x0020000E])
        + middle
        + writer.element(0x7FE00010, "OW", bytes(range(256)))
        + last
    )


def nested(depth: int) -> bytes:
    begin = PLAIN.head(0x00400275, "SQ", UNDEFINED) + pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)
    return begin * depth + (PLAIN.delimiter(0xE00D) + PLAIN.delimiter(0xE0DD)) * depth


UNKNOWN_OF_UNDEFINED_LENGTH = (
    PLAIN.head(0x00291010, "UN", UNDEFINED)
    + FLAT.item(FLAT.element(0x00100010, "PN", b"Wrong^One "), defined=False)
    + PLAIN.delimiter(0xE0DD)
)
PRIVATE = PLAIN.element(0x00290010, "LO", b"VENDOR")
ODDITIES: dict[str, dict[str, Any]] = {
    "group lengths": {
        "first": PLAIN.element(0x00080000, "UL", pack("<I", 4)),
        "middle": PLAIN.element(0x00280000, "UL", bytes(4)),
    },
    "an odd length": {"name": b"Doe^Odd"},
    "UIDs of odd length": {"padded": False},
    "a whole file": {"first": bytes(128) + b"DICM" + PLAIN.element(0x00020010, "UI", b"1.2.840.10008.1.2.1\0")},
    "command elements inside": {"first": PLAIN.element(0x00000002, "UI", b"1.2.3\0")},
    "file meta elements inside": {"first": PLAIN.element(0x00020010, "UI", b"1.2.840.10008.1.2\0")},
    "trailing padding": {"last": PLAIN.element(0xFFFCFFFC, "OB", bytes(64))},
    "UN of undefined length": {"middle": PRIVATE + UNKNOWN_OF_UNDEFINED_LENGTH},
    "a VR nobody knows": {"middle": PLAIN.head(0x00291011, "ZZ", 0) + pack("<I", 6) + b"secret"},
    "a private sequence": {
        "middle": PRIVATE + PLAIN.sequence(0x00291012, PLAIN.element(0x00100010, "PN", b"Wrong^One "))
    },
    "sequences nested deep": {"middle": nested(300)},
    "a header of many megabytes": {"middle": PRIVATE + PLAIN.element(0x00291013, "OB", b"\x2a" * (9 << 20))},
    "data behind the pixels": {
        "last": PLAIN.element(0x7FE10010, "LO", b"VENDOR") + PLAIN.element(0x7FE11001, "OB", bytes(9000))
    },
    "elements out of order": {"last": PLAIN.element(0x00080060, "CS", b"CT")},
}


@pytest.mark.parametrize("oddity", ODDITIES)
def test_a_data_set_is_stored_found_and_got_back_whatever_it_has(archive: Archive, oddity: str) -> None:
    study = f"2.9.{list(ODDITIES).index(oddity)}"
    whole = odd_image(study, **ODDITIES[oddity])
    assert archive.store(whole, f"{study}.1.1") == Answer(0)
    assert archive.found("PatientName", "STUDY", PatientID=study) == [NAME]
    assert archive.get("STUDY", StudyInstanceUID=study) == {f"{study}.1.1": (EXPLICIT, whole)}


@pytest.mark.parametrize(
    ("said", "really", "study"),
    [(IMPLICIT, EXPLICIT, "2.9.101"), (EXPLICIT, IMPLICIT, "2.9.102"), (EXPLICIT, BIG_ENDIAN, "2.9.103")],
)
def test_an_encoding_that_is_not_the_negotiated_one_is_found_out(
    archive: Archive, said: str, really: str, study: str
) -> None:
    whole = odd_image(study, Writer(really))
    assert archive.store(whole, f"{study}.1.1", syntax=said) == Answer(0)
    assert archive.found("PatientName", "STUDY", PatientID=study) == [NAME]
    got = archive.get("STUDY", StudyInstanceUID=study, syntaxes=[IMPLICIT, EXPLICIT, BIG_ENDIAN])
    assert got == {f"{study}.1.1": (really, whole)}


def test_elements_out_of_order_leave_a_warning_in_the_log(archive: Archive) -> None:
    study = "2.9.104"
    archive.store(odd_image(study, last=PLAIN.element(0x00080060, "CS", b"CT")), f"{study}.1.1")
    assert archive.says("order", f"{study}.1.1")


# WIRE 10


@pytest.mark.parametrize(("number", "pad"), [(1, b"\0"), (2, b" "), (3, b"\0\0\0"), (4, b"  ")])
def test_padding_of_uids_does_not_count(archive: Archive, number: int, pad: bytes) -> None:
    study = f"2.10.{number}"
    uids = {
        name: uid.encode() + pad for name, uid in (("study", study), ("series", f"{study}.1"), ("sop", f"{study}.1.1"))
    }
    assert archive.store(image(study, **uids), f"{study}.1.1") == Answer(0)
    assert archive.found("SOPInstanceUID", "IMAGE", StudyInstanceUID=study) == [f"{study}.1.1"]
    assert archive.get("IMAGE", SOPInstanceUID=f"{study}.1.1").keys() == {f"{study}.1.1"}


def test_leading_zeros_in_uids_are_accepted_and_kept(archive: Archive) -> None:
    study = "2.10.007.08"
    whole = image(study, series=f"{study}.01", sop=f"{study}.01.1")
    assert archive.store(whole, f"{study}.01.1") == Answer(0)
    assert archive.found("SeriesInstanceUID", "SERIES", StudyInstanceUID=study) == [f"{study}.01"]


@pytest.mark.parametrize(
    ("name", "tag"), [("sop", 0x00080018), ("study", 0x0020000D), ("series", 0x0020000E), ("sop_class", 0x00080016)]
)
@pytest.mark.parametrize("uid", ["1.2.x", "../../x", "1." + "2" * 63, "", None])
def test_a_uid_that_cannot_identify_is_refused_by_its_name(
    archive: Archive, name: str, tag: int, uid: str | None
) -> None:
    answer = archive.store(image("2.10.50", **{name: uid}), "2.10.50.1.1")
    assert (answer.status, answer.offending) == (0xC000, (tag,))
    assert answer.comment
    assert archive.found("SOPInstanceUID", "IMAGE", StudyInstanceUID="2.10.50") == []


@pytest.mark.parametrize("uid", ["1.2.x", "../../x", "1." + "2" * 63, ""])
def test_a_uid_of_the_command_that_cannot_identify_is_refused_and_the_association_lives(
    archive: Archive, uid: str
) -> None:
    whole = image("2.10.51")
    with archive.line() as line:
        line.associate((CT, [EXPLICIT]))
        answer = send(line, whole, uid)
        assert (answer.status, answer.offending) == (0xC000, (0x00001000,))
        assert answer.comment
        assert send(line, whole, "2.10.51.1.1").status == 0
        line.release()


@pytest.mark.parametrize("uid", ["1.2.x", "../../x", ""])
def test_a_sop_class_of_the_command_that_cannot_be_one_is_refused(archive: Archive, uid: str) -> None:
    with archive.line() as line:
        line.associate((CT, [EXPLICIT]))
        answer = send(line, image("2.10.54"), "2.10.54.1.1", sop_class=uid)
    assert (answer.status, answer.offending) == (0xC000, (0x00000002,))


@pytest.mark.parametrize("padding", [b"", b"\0", b" ", b"\0\0\0"])
def test_padding_of_uids_in_the_command_does_not_count(archive: Archive, padding: bytes) -> None:
    sop = f"2.10.55.{len(padding)}{padding[:1].count(b' ')}"
    with archive.line() as line:
        line.associate((CT, [EXPLICIT]))
        fields = wire.fields_of(wire.store_rq(sop))
        fields[0x0002], fields[0x1000] = CT.encode() + padding, sop.encode() + padding
        line.send(p_data(1, COMMAND | LAST, wire.command({tag: fields[tag] for tag in fields if tag})))
        line.send(p_data(1, LAST, image("2.10.55", sop=sop)))
        assert line.status() == 0
        line.release()
    assert archive.found("SOPInstanceUID", "IMAGE", SOPInstanceUID=sop) == [sop]


def test_a_request_without_a_data_set_is_refused_and_not_awaited(archive: Archive) -> None:
    with archive.line() as line:
        line.associate((CT, [EXPLICIT]))
        line.send(p_data(1, COMMAND | LAST, without_data_set("2.10.56.1.1")))
        answer = Answer.of(line.response())
        assert answer.status == 0xC000
        assert answer.comment
        assert send(line, image("2.10.56"), "2.10.56.1.1") == Answer(0)


@pytest.mark.parametrize(("name", "tag"), [("sop", 0x00080018), ("sop_class", 0x00080016)])
def test_a_uid_that_differs_from_the_command_is_refused_by_its_name(archive: Archive, name: str, tag: int) -> None:
    answer = archive.store(image("2.10.52", **{name: "1.2.840.10008.5.1.4.1.1.7"}), "2.10.52.1.1")
    assert (answer.status, answer.offending) == (0xA900, (tag,))
    assert answer.comment


@pytest.mark.parametrize(
    "whole", [b"", b"GET / HTTP/1.1\r\n\r\n", odd_image("2.10.53")[:-100]], ids=["none", "HTTP", "cut"]
)
def test_what_is_no_data_set_is_refused(archive: Archive, whole: bytes) -> None:
    answer = archive.store(whole, "2.10.53.1.1")
    assert answer.status == 0xC000
    assert answer.comment


# WIRE 11


@pytest.mark.parametrize(
    ("number", "keyword", "values"),
    [
        (1, "PatientName", {"name": "Doe^" + "o" * 5000}),
        (2, "PatientID", {"patient_id": "P" * 300}),
        (3, "StudyDescription", {"study_description": "d" * 20_000}),
        (4, "StudyDate", {"study_date": "yesterday"}),
        (5, "StudyTime", {"study_time": "25:99"}),
        (6, "InstanceNumber", {"number": "first"}),
        (7, "PatientSex", {"sex": "unknown to us"}),
        (8, "PatientBirthDate", {"birth_date": "19701301"}),
        (9, "SeriesNumber", {"series_number": "7.5"}),
        (10, "Modality", {"modality": "computed tomography"}),
        (11, "PatientName", {"name": b"Doe\0\x1b[31m^\xff\xfe"}),
        (12, "PatientSex", {"character_set": "ISO_IR 9999", "sex": "M"}),
    ],
)
def test_a_value_that_breaks_the_rules_is_stored_found_and_indexed_as_far_as_it_can_be_read(
    archive: Archive, number: int, keyword: str, values: dict[str, Any]
) -> None:
    study = f"2.11.{number}"
    whole = image(study, **values)
    assert archive.store(whole, f"{study}.1.1") == Answer(0)
    keys: dict[str, Any] = {"SOPInstanceUID": f"{study}.1.1", keyword: ""}
    (answer,) = archive.find("IMAGE", PATIENT_FIND, **keys)
    sent = list(values.values())[-1]
    beginning = sent[:3].decode() if isinstance(sent, bytes) else sent[:60]
    assert str(answer[keyword].value).startswith(beginning)
    assert archive.get("STUDY", StudyInstanceUID=study) == {f"{study}.1.1": (EXPLICIT, whole)}


@pytest.mark.parametrize(
    ("number", "declared", "raw", "name", "key"),
    [
        (1, "ISO_IR 100", "Müller^Jörg".encode("latin_1"), "Müller^Jörg", "muller*"),
        (2, UNICODE, "Øst^Åse".encode(), "Øst^Åse", "ost^ase"),
        (
            3,
            "\\ISO 2022 IR 87",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
            "=山田*",
        ),
        (4, "GB18030", "Wang^XiaoDong=王^小東\u4e57".encode("gb18030"), "Wang^XiaoDong=王^小東乗", "wang*"),
        (5, "GB18030", "Bai^Yi=\u5a0c^\u8c46".encode("gb18030"), "Bai^Yi=\u5a0c^\u8c46", "=\u5a0c^*"),
        (
            6,
            "\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
            "Hong^Gildong=洪^吉洞",
            "=洪^*",
        ),
    ],
)
def test_names_in_any_character_set_are_found_and_answered_whole(
    archive: Archive, number: int, declared: str, raw: bytes, name: str, key: str
) -> None:
    study = f"2.11.2{number}"
    whole = image(study, character_set=declared, name=raw)
    assert archive.store(whole, f"{study}.1.1") == Answer(0)
    (answer,) = archive.find(
        "STUDY", StudyInstanceUID=study, PatientName=key, SpecificCharacterSet="" if key.isascii() else UNICODE
    )
    assert decoded(answer) == name


def decoded(answer: Dataset) -> str:
    answer.decode()
    return str(answer.PatientName)


def test_the_character_set_of_a_peer_is_that_of_its_data_sets_that_name_none(archive: Archive) -> None:
    raw = "Иванов^Иван".encode("iso8859_5")
    for study, calling, declared in (
        ("2.11.31", "CYRILLIC", None),
        ("2.11.32", "CYRILLIC", "ISO_IR 100"),
        ("2.11.33", "WIRE", None),
    ):
        whole = image(study, name=raw, character_set=declared)
        assert archive.store(whole, f"{study}.1.1", calling=calling) == Answer(0)
    studies = ["2.11.31", "2.11.32", "2.11.33"]
    (answer,) = archive.find("STUDY", StudyInstanceUID=studies, PatientName="иванов^иван", SpecificCharacterSet=UNICODE)
    assert (answer.StudyInstanceUID, decoded(answer)) == ("2.11.31", "Иванов^Иван")
    assert archive.found("StudyInstanceUID", "STUDY", StudyInstanceUID=studies) == studies
