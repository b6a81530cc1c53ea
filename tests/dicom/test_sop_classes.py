"""What a context may be and which transfer syntax it gets (WIRE 6, 12, 13)."""

import subprocess
import sys

import pynetdicom._globals
import pynetdicom.sop_class
import pytest
from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID

from dicom import sop_classes
from dicom.sop_classes import (
    NOT_WITHOUT_PATIENT,
    STORAGE_SOP_CLASSES,
    TRANSFER_SYNTAXES,
    Service,
    choose_transfer_syntax,
    is_big_endian,
    is_deflated,
    is_encapsulated,
    is_implicit,
    is_lossy,
    is_storage,
    service_of,
)

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
REFERENCES = {
    *(f"1.2.840.10008.1.2.4.{n}" for n in (94, 95, 204, 205)),  # JPIP
    *(f"1.2.840.10008.1.2.7.{n}" for n in (1, 2, 3)),  # SMPTE ST 2110
}


def test_every_storage_class_pynetdicom_knows_is_taken() -> None:
    known = {str(uid) for uid in pynetdicom.sop_class._STORAGE_CLASSES.values()}
    assert known - STORAGE_SOP_CLASSES.keys() == set()


def test_retired_storage_classes_are_taken_because_old_archives_are_migrated() -> None:
    retired = {
        uid
        for uid, (name, kind, _, status, _) in UID_dictionary.items()
        if kind == "SOP Class" and status and "Storage" in name and "Commitment" not in name
    }
    assert retired - STORAGE_SOP_CLASSES.keys() == set()
    assert is_storage("1.2.840.10008.5.1.4.1.1.5")  # Nuclear Medicine of 1993


def test_every_storage_class_is_a_class_of_the_dictionary_or_of_pynetdicom() -> None:
    known = {str(uid) for uid in pynetdicom.sop_class._STORAGE_CLASSES.values()}
    classes = {uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == "SOP Class"}
    assert STORAGE_SOP_CLASSES.keys() - known - classes == set()


def test_names_are_those_of_the_dictionary() -> None:
    for uid, name in STORAGE_SOP_CLASSES.items():
        in_dictionary = UID_dictionary.get(uid, ("",))[0].replace(" SOP Class", "")
        assert name.startswith(in_dictionary)
        assert name


def test_a_known_class_that_is_not_storage_is_never_stored() -> None:
    for uid, (_, kind, *_) in UID_dictionary.items():
        if kind != "SOP Class" or uid not in STORAGE_SOP_CLASSES:
            assert not uid.startswith("1.2.840.10008") or not is_storage(uid)


def test_dicomdir_and_objects_without_patient_are_refused() -> None:
    without_patient = {str(uid) for uid in pynetdicom.sop_class._NON_PATIENT_OBJECT_CLASSES.values()}
    assert without_patient == NOT_WITHOUT_PATIENT
    for uid in (*NOT_WITHOUT_PATIENT, "1.2.840.10008.1.3.10"):
        assert not is_storage(uid)
        assert service_of(uid) is None


@pytest.mark.parametrize("uid", ["1.3.12.2.1107.5.9.1", "1.2.840.113619.4.26", "1.2.840.100089.1"])
def test_private_classes_of_vendors_are_stored_unless_switched_off(uid: str) -> None:
    assert is_storage(uid)
    assert service_of(uid) is Service.STORE
    assert not is_storage(uid, private=False)


@pytest.mark.parametrize(
    "uid",
    ["", "1.2.840.10008", "1.2.840.10008.5.1.4.1.1.999999", "../../etc/passwd", "1.2.3a", "1." + "2" * 63, ".", "1.2 "],
)
def test_what_is_no_uid_or_no_known_standard_class_is_not_storage(uid: str) -> None:
    assert not is_storage(uid)


def test_each_abstract_syntax_needs_the_right_of_its_service() -> None:
    root = "1.2.840.10008.5.1.4.1.2"
    assert service_of("1.2.840.10008.1.1") is Service.ECHO
    assert service_of("1.2.840.10008.5.1.4.1.1.2") is Service.STORE
    assert {service_of(f"{root}.{model}.1") for model in (1, 2, 3)} == {Service.FIND}
    assert {service_of(f"{root}.{model}.2") for model in (1, 2, 3)} == {Service.MOVE}
    assert {service_of(f"{root}.{model}.3") for model in (1, 2, 3)} == {Service.GET}
    assert service_of("1.2.840.10008.5.1.4.31") is Service.WORKLIST
    assert service_of("1.2.840.10008.3.1.2.3.3") is Service.MPPS
    assert service_of("1.2.840.10008.1.20.1") is Service.COMMITMENT
    assert service_of("1.2.840.10008.5.1.1.9") is None  # print


def test_transfer_syntaxes_are_pynetdicoms_less_references() -> None:
    assert set(TRANSFER_SYNTAXES) == set(pynetdicom._globals.ALL_TRANSFER_SYNTAXES) - REFERENCES
    assert len(set(TRANSFER_SYNTAXES)) == len(TRANSFER_SYNTAXES)


@pytest.mark.parametrize(
    ("proposed", "chosen"),
    [
        ([IMPLICIT, EXPLICIT], EXPLICIT),
        ([IMPLICIT, BIG_ENDIAN, EXPLICIT], EXPLICIT),
        ([EXPLICIT, IMPLICIT, JPEG_LOSSLESS], JPEG_LOSSLESS),
        ([JPEG_BASELINE, IMPLICIT], IMPLICIT),
        ([JPEG_BASELINE, JPEG_2000, JPEG_2000_LOSSLESS], JPEG_2000_LOSSLESS),
        ([JPEG_BASELINE], JPEG_BASELINE),
        ([IMPLICIT], IMPLICIT),
        (["1.2.840.10008.1.2.4.94"], None),
        (["1.2.3.4"], None),
        ([], None),
    ],
)
def test_lossless_and_explicit_are_preferred_and_lossy_is_the_last_resort(
    proposed: list[str], chosen: str | None
) -> None:
    assert choose_transfer_syntax(proposed) == chosen
    assert choose_transfer_syntax(proposed[::-1]) == chosen


def test_a_peers_own_preference_wins_where_it_is_proposed() -> None:
    assert choose_transfer_syntax([EXPLICIT, IMPLICIT, JPEG_LOSSLESS], [IMPLICIT]) == IMPLICIT
    assert choose_transfer_syntax([EXPLICIT, JPEG_BASELINE], [JPEG_2000, JPEG_BASELINE]) == JPEG_BASELINE
    assert choose_transfer_syntax([EXPLICIT], [IMPLICIT]) == EXPLICIT
    assert choose_transfer_syntax(["1.2.3.4", EXPLICIT], ["1.2.3.4"]) == EXPLICIT


def test_lossy_is_never_chosen_when_anything_lossless_is_proposed() -> None:
    lossless = [uid for uid in TRANSFER_SYNTAXES if not is_lossy(uid)]
    for uid in lossless:
        chosen = choose_transfer_syntax([*(uid for uid in TRANSFER_SYNTAXES if is_lossy(uid)), uid])
        assert chosen == uid


def test_encodings_are_those_the_dictionary_tells() -> None:
    for uid in TRANSFER_SYNTAXES:
        assert is_encapsulated(uid) == UID(uid).is_encapsulated
        assert is_implicit(uid) == UID(uid).is_implicit_VR
        assert is_big_endian(uid) == (not UID(uid).is_little_endian)
        assert is_deflated(uid) == UID(uid).is_deflated


def test_retired_jpeg_processes_are_encapsulated_and_jpip_is_not() -> None:
    assert is_encapsulated("1.2.840.10008.1.2.4.66")
    assert not is_encapsulated("1.2.840.10008.1.2.4.94")


def test_the_tables_cost_no_import_of_pydicom() -> None:
    code = f"import sys, {sop_classes.__name__}; sys.exit('pydicom' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
