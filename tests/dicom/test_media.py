"""Accept headers as clients send them, good and bad."""

import pytest

from dicom.media import ANY, NotAcceptable, Unsatisfiable, accepted, byte_range, choose

OFFERS = ("application/dicom+json", "application/json")


@pytest.mark.parametrize(
    ("header", "types"),
    [
        ("", [ANY]),
        ("a/b", ["a/b"]),
        ("a/b;q=0.1, c/d", ["c/d", "a/b"]),
        ("*/*, a/*, a/b", ["a/b", "a/*", "*/*"]),
        ("a/b;q=0, c/d", ["c/d"]),
        ("a/b;q=nonsense", ["a/b"]),
        (" , ;;, a/b", ["a/b"]),
        ("A/B; Q=0.5, c/d; q=7", ["c/d", "a/b"]),
    ],
)
def test_the_best_comes_first(header: str, types: list[str]) -> None:
    assert [media.type for media in accepted([header])] == types


@pytest.mark.parametrize("kind", ['"application/dicom"', "application/dicom", '"Application/DICOM"'])
def test_parts_are_named_with_quotes_and_without(kind: str) -> None:
    (media,) = accepted([f"multipart/related; type={kind}; transfer-syntax=*"])
    assert (media.part, media.transfer_syntax) == ("application/dicom", "*")


def test_commas_and_semicolons_in_quotes_separate_nothing() -> None:
    (media,) = accepted(['multipart/related; type="a,b;c"; transfer-syntax=1.2'])
    assert (media.part, media.transfer_syntax) == ("a,b;c", "1.2")


def test_a_transfer_syntax_within_the_quotes_of_the_type_is_one() -> None:
    (media,) = accepted(['multipart/related; type="application/octet-stream; transfer-syntax=*"'])
    assert (media.part, media.transfer_syntax) == ("application/octet-stream", "*")


def test_the_first_offer_that_is_accepted_is_chosen() -> None:
    assert choose(accepted(["*/*"]), OFFERS) == OFFERS[0]
    assert choose(accepted(["application/*;q=0.1, application/json"]), OFFERS) == OFFERS[1]
    with pytest.raises(NotAcceptable, match="application/json"):
        choose(accepted(["text/html"]), OFFERS)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-9", (0, 10)),
        ("bytes=90-", (90, 100)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-1000", (0, 100)),
        ("", None),
        ("bytes=-", None),
        ("bytes=5-2", None),
        ("bytes=0-1,5-6", None),
        ("items=0-1", None),
        ("bytes=x-y", None),
    ],
)
def test_one_range_of_bytes_is_understood_and_anything_else_left_alone(
    header: str, expected: tuple[int, int] | None
) -> None:
    assert byte_range(header, 100) == expected


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_beyond_the_end_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        byte_range(header, 100)
