"""What is no data set, or ends too early, and noise."""

import json
import marshal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom import cursor
from dicom.errors import InvalidDataSet
from dicom.header import INDEXED
from tests.dicom.data_sets import DEFLATED, IMPLICIT, JPEG_LOSSLESS, UNDEFINED, Writer
from tests.dicom.scanning import (
    DATA_SETS,
    EXPLICIT_WRITER,
    NATIVE,
    PATIENT_NAME,
    PIXEL_DATA,
    after,
    before,
    both_found,
    read,
)


@pytest.mark.parametrize("syntax", NATIVE)
def test_a_data_set_that_ends_within_an_element_is_refused_with_its_tag(syntax: str) -> None:
    write = Writer(syntax)
    whole = before(write) + write.element(PATIENT_NAME, "PN", b"Doe^John") + write.element(PIXEL_DATA, "OW", bytes(64))
    name_at, pixels_at = len(before(write)), whole.rindex(bytes(64))
    read(whole, syntax)
    for cut in range(name_at + 9, name_at + 16):
        with pytest.raises(InvalidDataSet) as caught:
            read(whole[:cut], syntax)
        assert caught.value.offending_element == PATIENT_NAME
    for cut in range(pixels_at, len(whole)):
        with pytest.raises(InvalidDataSet) as caught:
            read(whole[:cut], syntax)
        assert caught.value.offending_element == PIXEL_DATA


def test_a_data_set_in_utter_disorder_gives_a_handful_of_warnings() -> None:
    write = EXPLICIT_WRITER
    elements = [write.element(0x00091000 + n, "LO", b"") for n in range(2_000)]
    header = read(before(write) + b"".join(reversed(elements)) + after(write))
    assert both_found(header)
    assert 1 <= len(header.warnings) <= 10


def test_encapsulated_pixel_data_without_its_end_is_refused() -> None:
    write = EXPLICIT_WRITER
    fragments = write.head(PIXEL_DATA, "OB", UNDEFINED) + write.item(b"") + write.item(bytes(1000))
    for cut in (len(fragments), len(fragments) - 1, 20, 12):
        with pytest.raises(InvalidDataSet) as caught:
            read(before(write) + fragments[:cut], JPEG_LOSSLESS)
        assert caught.value.offending_element == PIXEL_DATA


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n", b"\x89PNG\r\n\x1a\n" * 20, b"\xff" * 1000, b"abc"])
@pytest.mark.parametrize("syntax", [*NATIVE, DEFLATED])
def test_what_is_no_data_set_is_refused(noise: bytes, syntax: str) -> None:
    with pytest.raises(InvalidDataSet):
        read(noise, syntax)


@pytest.mark.parametrize("syntax", NATIVE)
def test_an_empty_data_set_holds_nothing(syntax: str) -> None:
    assert read(b"", syntax).elements == {}


def test_endless_tiny_elements_are_refused_when_the_budget_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursor, "ELEMENT_BUDGET", 1000)
    write = EXPLICIT_WRITER
    flat = b"".join(write.element(0x00091000 + n, "LO", b"") for n in range(1100))
    disordered = write.element(0x00091000, "LO", b"") * 1100
    nested = write.sequence(0x00091000, write.element(0x00091001, "LO", b"") * 1100, defined=False)
    for data_set in (flat, disordered, nested, Writer(IMPLICIT).element(0x00091000, "LO", b"") * 1100):
        with pytest.raises(InvalidDataSet, match="too many"):
            read(data_set)


REAL = [(data_set[:20_000], syntax) for _, data_set, syntax in DATA_SETS if len(data_set) < 50_000]


@given(st.data())
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_a_damaged_header_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    data_set, syntax = data.draw(st.sampled_from(REAL))
    damaged = bytearray(data_set)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(len(damaged), 3_000)))
        noise = data.draw(
            st.one_of(st.binary(max_size=8), st.sampled_from([b"\xff" * 4, b"\0" * 4, b"SQ", b"UN", b"US"]))
        )
        damaged[at : at + data.draw(st.integers(0, 8))] = noise
    try:
        header = read(bytes(damaged), data.draw(st.sampled_from([syntax, *NATIVE, DEFLATED])))
    except InvalidDataSet:
        return
    for tag in INDEXED:
        assert "\0" not in header.text(tag) + header.uid(tag)
        header.text(tag).encode()
        header.integer(tag)
        assert "\\u0000" not in json.dumps(header.sequence(tag), allow_nan=False)
    assert marshal.dumps(header.dump())


@given(st.binary(max_size=400), st.sampled_from([*NATIVE, DEFLATED]))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_read_or_refused_and_nothing_else(noise: bytes, syntax: str) -> None:
    try:
        read(noise, syntax)
    except InvalidDataSet as error:
        assert len(str(error)) <= 64  # fits an Error Comment (LO)
