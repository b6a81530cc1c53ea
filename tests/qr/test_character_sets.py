"""Answers in a character set the asker reads, and nothing lost in it (WIRE 21)."""

from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom.dimse import associate
from dicom.encoding import ElementIn, encode_elements, read_identifier
from tests.qr.conftest import Serve
from tests.qr.serving import PATIENT_FIND, STUDY_FIND, Serving
from tests.storage.made import EXPLICIT, index, receive

pytestmark = pytest.mark.usefixtures("folders")

JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"
JAPANESE_SET = "\\ISO 2022 IR 87"
JAPANESE_BYTES = (
    b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"  # PS3.5 H.3, example 1
)


def keep(name: bytes, character_set: str, study: str = "1.2.3", **values: Any) -> None:
    series = f"{study}.1"
    own = {"name": name, "character_set": character_set, "study": study, "series": series, "sop": f"{series}.1"}
    receive(**{**own, **values})
    index()


def ask(serving: Serving, model: str = STUDY_FIND, level: str = "STUDY", **keys: Any) -> list[Dataset]:
    answers = serving.find(model, QueryRetrieveLevel=level, **{"PatientName": "", **keys})
    return [answer for _, answer in answers if answer is not None]


def test_ascii_answers_name_no_character_set(serve: Serve) -> None:
    keep(b"Doe^Jane", "ISO_IR 100")
    assert "SpecificCharacterSet" not in ask(serve())[0]


def test_a_query_without_character_set_finds_names_and_gets_them_in_that_of_the_data(serve: Serve) -> None:
    keep("Müller^Jürgen".encode("latin-1"), "ISO_IR 100")
    serving = serve()
    for model, level in ((STUDY_FIND, "STUDY"), (PATIENT_FIND, "PATIENT"), (STUDY_FIND, "IMAGE")):
        (answer,) = ask(serving, model, level, PatientName="muller*")
        assert answer.SpecificCharacterSet == "ISO_IR 100"
        assert answer.PatientName == "Müller^Jürgen"


def test_the_character_set_of_the_query_is_used_where_nothing_is_lost_in_it(serve: Serve) -> None:
    keep("Müller^Jürgen".encode("latin-1"), "ISO_IR 100")
    (answer,) = ask(serve(), SpecificCharacterSet="ISO_IR 192", PatientName="Müller*")
    assert (answer.SpecificCharacterSet, answer.PatientName) == ("ISO_IR 192", "Müller^Jürgen")


def test_the_set_of_the_data_is_used_where_that_of_the_query_would_lose_something(serve: Serve) -> None:
    keep(JAPANESE_BYTES, JAPANESE_SET)
    (answer,) = ask(serve(), SpecificCharacterSet="ISO_IR 100", PatientName="yamada*")
    assert answer.SpecificCharacterSet == ["", "ISO 2022 IR 87"]
    assert answer.PatientName == JAPANESE


def test_a_name_of_three_groups_is_found_by_each_of_them(serve: Serve) -> None:
    keep(JAPANESE_BYTES, JAPANESE_SET)
    serving = serve()
    for name in ("YAMADA^TAROU", "=山田*", "==やまだ^たろう", "山田*", "Yamada*=山田*"):
        assert len(ask(serving, SpecificCharacterSet="ISO_IR 192", PatientName=name)) == 1, name
    assert not ask(serving, SpecificCharacterSet="ISO_IR 192", PatientName="Yamada*=山本*")


def test_unicode_is_the_answer_where_no_other_set_has_it_all(serve: Serve) -> None:
    keep("Müller^Jürgen".encode("latin-1"), "ISO_IR 100")
    keep("Łukasz^Żak".encode(), "", study="4.5.6", patient_id="P2")
    answers = ask(serve(), SpecificCharacterSet="ISO_IR 100")
    assert [(answer.SpecificCharacterSet, answer.PatientName) for answer in answers] == [
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 192", "Łukasz^Żak"),
    ]


def test_a_peer_gets_the_character_set_it_is_set_to(serve: Serve) -> None:
    keep("Müller^Jürgen".encode("latin-1"), "ISO_IR 100")
    (answer,) = ask(serve(specific_character_set="ISO_IR 192"), SpecificCharacterSet="ISO_IR 100")
    assert (answer.SpecificCharacterSet, answer.PatientName) == ("ISO_IR 192", "Müller^Jürgen")


def test_a_peer_set_to_a_set_that_would_lose_something_still_gets_everything(serve: Serve) -> None:
    keep(JAPANESE_BYTES, JAPANESE_SET)
    (answer,) = ask(serve(specific_character_set="ISO_IR 100"))
    assert answer.PatientName == JAPANESE


def test_an_identifier_in_an_undeclared_set_is_read_by_the_peers_default(serve: Serve) -> None:
    keep("Müller^Jürgen".encode("latin-1"), "ISO_IR 100")
    keep("Иванов^Иван".encode("iso8859_5"), "ISO_IR 144", study="4.5.6", patient_id="P2")
    asked: list[ElementIn] = [
        (0x00080052, "CS", b"STUDY"),
        (0x00100010, "PN", "иванов*".encode("iso8859_5")),
        (0x0020000D, "UI", None),
    ]
    port = serve(default_character_set="ISO_IR 144").port
    with associate(
        "127.0.0.1", port, calling_ae_title="X", called_ae_title="PACS", contexts=[(STUDY_FIND, [EXPLICIT])]
    ) as assoc:
        context = assoc.context_for(STUDY_FIND)
        assert context is not None
        responses = list(assoc.c_find(context=context, identifier=encode_elements(asked, EXPLICIT)))
    assert len(responses) == 2
    answer = read_identifier(responses[0].data_set or b"", EXPLICIT)
    assert (answer.character_sets, answer.text(0x00100010)) == (("ISO_IR 144",), "Иванов^Иван")
