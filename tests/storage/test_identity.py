"""WIRE 14 to 16: who is who, and what is the same; nothing merged, moved or hidden behind anybody's back."""

from pathlib import Path
from typing import Any

import pydicom.data
import pytest

from apps.storage.intake import receive as take
from apps.storage.models import (
    Conflict,
    ConflictKind,
    Instance,
    Patient,
    QuarantinedInstance,
    Series,
    Study,
)
from apps.storage.sources import ForeignFile
from tests.storage.made import CT, EXPLICIT, IMPLICIT, data_set, fragments, index, provenance, receive

pytestmark = pytest.mark.django_db(transaction=True)

BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
FILES = Path(pydicom.data.__file__).parent / "test_files"


def values(kind: ConflictKind, attribute: str) -> list[str]:
    return [text for text, _ in Conflict.objects.get(kind=kind, attribute=attribute).values]


@pytest.mark.parametrize("patient_id", [None, "", "  "])
def test_an_empty_patient_id_never_merges_people(patient_id: str | None) -> None:
    receive(study="1.1", series="1.1.1", sop="1.1.1.1", patient_id=patient_id)
    receive(study="1.2", series="1.2.1", sop="1.2.1.1", patient_id=patient_id)
    index()
    assert Patient.objects.count() == 2
    assert Study.objects.values("patient").distinct().count() == 2


def test_the_same_id_of_two_issuers_is_two_patients() -> None:
    receive(study="1.1", series="1.1.1", sop="1.1.1.1", issuer="A")
    receive(study="1.2", series="1.2.1", sop="1.2.1.1", issuer="B")
    index()
    assert set(Patient.objects.values_list("issuer_of_patient_id", flat=True)) == {"A", "B"}


def test_a_peers_default_issuer_is_for_ids_that_come_without_one() -> None:
    source = provenance(issuer="HOSPITAL")
    receive(study="1.1", series="1.1.1", sop="1.1.1.1", source=source)
    receive(study="1.2", series="1.2.1", sop="1.2.1.1", issuer="OTHER", source=source)
    receive(study="1.3", series="1.3.1", sop="1.3.1.1", patient_id="", source=source)
    index()
    assert sorted(Patient.objects.values_list("patient_id", "issuer_of_patient_id")) == [
        ("", ""),
        ("P1", "HOSPITAL"),
        ("P1", "OTHER"),
    ]


def test_a_peers_default_character_set_is_for_data_sets_that_declare_none() -> None:
    receive(name="Äneas^Jörg".encode("latin_1"), source=provenance(character_set="ISO_IR 100"))
    index()
    assert Patient.objects.get().patient_name == "Äneas^Jörg"


def test_another_name_for_the_same_id_is_stored_kept_and_listed() -> None:
    receive(study="1.1", series="1.1.1", sop="1.1.1.1", name="Doe^John", sex="M")
    receive(study="1.2", series="1.2.1", sop="1.2.1.1", name="Roe^Jane", sex="F")
    index()
    assert Patient.objects.get().patient_name == "Doe^John"
    assert Instance.objects.count() == 2
    assert values(ConflictKind.PATIENT, "patient_name") == ["Doe^John", "Roe^Jane"]
    assert values(ConflictKind.PATIENT, "patient_sex") == ["M", "F"]


@pytest.mark.parametrize("name", ["DOE^JOHN", "Doe^John^^^", "Doe^John ", "Dóe^John"])
def test_another_way_to_write_a_name_is_no_conflict(name: str) -> None:
    receive(sop="1.1", name="Doe^John", character_set="ISO_IR 192")
    receive(sop="1.2", name=name.encode(), character_set="ISO_IR 192")
    index()
    assert not Conflict.objects.exists()


def test_blanks_are_filled_by_later_instances_and_are_no_conflict() -> None:
    receive(sop="1.1", study_description=None, accession="")
    receive(sop="1.2", study_description="Thorax", accession="A1")
    index()
    study = Study.objects.get()
    assert (study.study_description, study.accession_number) == ("Thorax", "A1")
    assert not Conflict.objects.exists()


def test_a_study_uid_under_two_patients_is_stored_and_listed() -> None:
    receive(sop="1.1", patient_id="P1", name="Doe^John")
    receive(sop="1.2", patient_id="P2", name="Roe^Jane")
    index()
    assert Study.objects.get().patient.patient_id == "P1"
    assert Study.objects.get().patient.patient_name == "Doe^John"
    assert Instance.objects.count() == 2
    assert values(ConflictKind.STUDY_OF_TWO_PATIENTS, "patient") == ["P1", "P2"]


def test_a_series_uid_in_two_studies_is_stored_and_listed() -> None:
    receive(study="1.1", sop="1.1.1")
    receive(study="1.2", sop="1.2.1")
    index()
    assert Series.objects.get().study.study_instance_uid == "1.1"
    assert Instance.objects.count() == 2
    assert values(ConflictKind.SERIES_OF_TWO_STUDIES, "study") == ["1.1", "1.2"]


def test_a_sop_instance_uid_in_two_series_is_kept_twice_and_listed() -> None:
    receive(series="1.2.3.1")
    receive(series="1.2.3.2")
    index()
    assert Instance.objects.get().series.series_instance_uid == "1.2.3.1"
    assert QuarantinedInstance.objects.get().series_instance_uid == "1.2.3.2"
    assert values(ConflictKind.INSTANCE_OF_TWO_SERIES, "series") == ["1.2.3.1", "1.2.3.2"]


def test_the_same_data_set_again_is_one_row_and_one_file(archive: Path) -> None:
    first = receive()
    index()
    receive()
    receive()
    index()
    assert Instance.objects.get().name == first.name
    assert [path.name for path in archive.rglob("*") if path.is_file()] == [first.name]
    assert not QuarantinedInstance.objects.exists()


@pytest.mark.parametrize("syntax", [IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_the_same_object_in_another_transfer_syntax_is_the_same_object(syntax: str, archive: Path) -> None:
    first = receive(pixels=bytes(range(8)))
    swapped = bytes([1, 0, 3, 2, 5, 4, 7, 6])
    again = data_set(transfer_syntax_uid=syntax, pixels=bytes(range(8)))
    assert syntax != BIG_ENDIAN or swapped in again
    receive(again, transfer_syntax_uid=syntax)
    index()
    assert Instance.objects.get().name == first.name
    assert not QuarantinedInstance.objects.exists()
    assert len([path for path in archive.rglob("*") if path.is_file()]) == 1


def test_other_group_lengths_and_padding_are_the_same_object() -> None:
    receive()
    group_length = b"\x08\x00\x00\x00UL\x04\x00\x0a\x00\x00\x00"
    padding = b"\xfc\xff\xfc\xffOB\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00"
    receive(group_length + data_set() + padding)
    index()
    assert not QuarantinedInstance.objects.exists()


def test_the_same_object_compressed_without_loss_is_the_same_object() -> None:
    for name in ("MR_small.dcm", "MR_small_jp2klossless.dcm"):
        source = ForeignFile.read(FILES / name)
        with source.open() as opened:
            data = (FILES / name).read_bytes()[opened.dataset_offset :]
        take(
            provenance=provenance(),
            sop_class_uid=source.sop_class_uid,
            sop_instance_uid=source.sop_instance_uid,
            transfer_syntax_uid=source.transfer_syntax_uid,
            fragments=fragments(data),
        )
    index()
    assert Instance.objects.count() == 1
    kept = QuarantinedInstance.objects.count()
    assert kept == 0


@pytest.mark.parametrize("other", [{"pixels": bytes(7) + b"\1"}, {"name": "Roe^Jane"}, {"study_description": "new"}])
def test_anything_else_is_another_version_and_quarantined(other: dict[str, Any]) -> None:
    first = receive()
    second = receive(**other)
    index()
    assert Instance.objects.get().name == first.name
    kept = QuarantinedInstance.objects.get()
    assert (kept.name, kept.state, kept.digest) == (second.name, "open", second.digest)


def test_a_peer_may_be_one_whose_versions_are_made_current() -> None:
    first = receive(series_description="old")
    second = receive(series_description="new", source=provenance(policy="make_current"))
    index()
    assert Instance.objects.get().name == second.name
    assert Series.objects.get().series_description == "new"
    assert QuarantinedInstance.objects.get().name == first.name


def test_a_version_seen_before_is_not_quarantined_twice() -> None:
    receive(series_description="a")
    for _ in range(3):
        receive(series_description="b")
    index()
    assert QuarantinedInstance.objects.count() == 1


def test_a_sender_that_mixes_things_up_cannot_move_anything() -> None:
    receive(study="1.1", series="1.1.1", sop="1.1.1.1", patient_id="P1", sop_class=CT)
    index()
    before = Study.objects.get(), Series.objects.get(), Instance.objects.get()
    receive(study="1.2", series="1.1.1", sop="1.1.1.1", patient_id="P2")
    receive(study="1.2", series="1.1.1", sop="1.1.1.2", patient_id="P2")
    receive(study="1.1", series="1.1.2", sop="1.1.1.1", patient_id="P2", transfer_syntax_uid=EXPLICIT)
    index()
    study, series, instance = before
    assert Instance.objects.get(sop_instance_uid="1.1.1.1").name == instance.name
    assert Series.objects.get(pk=series.pk).study_id == study.pk
    assert Study.objects.get(pk=study.pk).patient_id == study.patient_id
