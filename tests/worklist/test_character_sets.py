"""WIRE 21 for the worklist: names in all character sets, in and out."""

import pytest
from pydicom.dataset import Dataset

from tests.qr.serving import identifier
from tests.worklist.asking import find, ordered
from tests.worklist.conftest import Serve

JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"
KOREAN = "Hong^Gildong=洪^吉洞=홍^길동"
CHINESE = "Wang^XiaoDong=王^小东"


def ask(serve: Serve, *, name: str = "", character_set: str | list[str] | None = None, **switches: str) -> Dataset:
    ds = identifier(PatientName=name)
    if character_set is not None:
        ds.SpecificCharacterSet = character_set
    ((_, answer), *_) = find(serve(**switches), ds)
    assert answer is not None
    return answer


@pytest.mark.parametrize(
    ("name", "character_set", "answered"),
    [
        ("Müller^Jürgen", "ISO_IR 100", "ISO_IR 100"),
        ("Müller^Jürgen", "ISO_IR 144", "ISO_IR 192"),  # nothing is lost
        ("Müller^Jürgen", None, "ISO_IR 192"),
        ("Люкceмбypг", "ISO_IR 144", "ISO_IR 144"),
        (JAPANESE, ["", "ISO 2022 IR 87"], ["", "ISO 2022 IR 87"]),
        (JAPANESE, ["ISO 2022 IR 13", "ISO 2022 IR 87"], ["ISO 2022 IR 13", "ISO 2022 IR 87"]),
        (KOREAN, ["", "ISO 2022 IR 149"], ["", "ISO 2022 IR 149"]),
        (CHINESE, "GB18030", "GB18030"),
        (CHINESE, "ISO_IR 192", "ISO_IR 192"),
        (CHINESE, None, "ISO_IR 192"),
        ("Doe^Jane", "ISO_IR 100", "ISO_IR 100"),
    ],
)
def test_a_name_is_found_and_answered_in_the_character_set_of_the_query(
    serve: Serve, name: str, character_set: str | list[str] | None, answered: str | list[str]
) -> None:
    ordered(patient_name=name)
    asked_for = name.partition("=")[0] if answered == "ISO_IR 192" != character_set else name
    answer = ask(
        serve, name=asked_for if asked_for.isascii() or character_set == answered else "", character_set=character_set
    )
    assert answer.SpecificCharacterSet == answered
    answer.decode()
    assert str(answer.PatientName) == name


def test_the_peers_character_set_goes_before_the_querys(serve: Serve) -> None:
    ordered(patient_name="Müller^Jürgen")
    assert (
        ask(serve, character_set="ISO_IR 192", specific_character_set="ISO_IR 100").SpecificCharacterSet == "ISO_IR 100"
    )


def test_ascii_needs_no_character_set(serve: Serve) -> None:
    ordered()
    assert ask(serve) == identifier(PatientName="Doe^Jane")
