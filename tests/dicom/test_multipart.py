"""multipart/related as it arrives, in pieces of any size."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.multipart import ContentType, InvalidMultipart, Multipart, TooManyParts, content_type

BOUNDARY = "b-1"


def source(body: bytes, sizes: Callable[[], int] = lambda: 1 << 20) -> Callable[[memoryview], int]:
    at = 0

    def readinto(view: memoryview) -> int:
        nonlocal at
        assert len(view)
        piece = body[at : at + max(1, min(len(view), sizes()))]
        view[: len(piece)] = piece
        at += len(piece)
        return len(piece)

    return readinto


def parts(
    body: bytes, boundary: str = BOUNDARY, size: int = 1 << 20, **limits: int
) -> list[tuple[dict[str, str], bytes]]:
    found = []
    for part in Multipart(source(body, lambda: size), boundary, **limits):
        found.append((dict(part.headers), b"".join(bytes(piece) for piece in part)))
    return found


def framed(*contents: bytes, end: bytes = b"--b-1--\r\n") -> bytes:
    return b"".join(b"--b-1\r\nContent-Type: a/b\r\n\r\n" + content + b"\r\n" for content in contents) + end


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1 << 20])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (framed(b"one", b"", b"\r\n\r\n", b"--b-"), [b"one", b"", b"\r\n\r\n", b"--b-"]),
        (b"preamble\r\n\r\n" + framed(b"x"), [b"x"]),
        (b"\r\n" + framed(b"x", end=b"--b-1-- \t\r\nepilogue\r\n--b-1\r\n\r\nno part\r\n"), [b"x"]),
        (b"--b-1 \t \r\nA: 1\r\n\r\nx\r\n--b-1--", [b"x"]),
        (
            framed(b"a\r\n--b-12\r\nb", b"\r\n--b-\r\r\n--b-1x", b"\r\r\n-"),
            [b"a\r\n--b-12\r\nb", b"\r\n--b-\r\r\n--b-1x", b"\r\r\n-"],
        ),
        (b"--b-1\r\n\r\nno headers\r\n--b-1--", [b"no headers"]),
        (b"--b-1\r\nA: 1\r\n\r\n--b-1--", [b""]),
        (framed(b"a", b"z" * 200_000, b"b"), [b"a", b"z" * 200_000, b"b"]),
        (b"--b-1--\r\n", []),
    ],
)
def test_parts_come_as_they_were_framed_wherever_the_network_cuts(
    body: bytes, expected: list[bytes], size: int
) -> None:
    if len(body) > 100_000 and size < 7:
        size = 1009
    assert [content for _, content in parts(body, size=size, buffer_size=1)] == expected


def test_headers_are_named_in_small_letters_and_unfolded() -> None:
    body = (
        b"--b-1\r\nContent-TYPE: application/dicom;\r\n transfer-syntax=1.2\r\ncontent-location:x/y\r\n\r\n1\r\n--b-1--"
    )
    ((headers, _),) = parts(body)
    assert headers == {"content-type": "application/dicom; transfer-syntax=1.2", "content-location": "x/y"}


@pytest.mark.parametrize(
    "headers",
    [
        b"no colon\r\n\r\n",
        b"A: 1\r\na: 2\r\n\r\n",
        b"A b: 1\r\n\r\n",
        b": 1\r\n\r\n",
        b"X: " + b"x" * 20_000 + b"\r\n\r\n",
        b"not even a blank line",
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_a_part_whose_headers_cannot_be_read_is_passed_over_alone(headers: bytes, size: int) -> None:
    body = framed(b"one", end=b"") + b"--b-1\r\n" + headers + b"\r\n" + framed(b"two")
    found = [(part.problem, b"".join(map(bytes, part))) for part in Multipart(source(body, lambda: size), BOUNDARY)]
    assert [content for problem, content in found if not problem] == [b"one", b"two"]
    assert len(found) == 3


def test_a_part_need_not_be_read_to_its_end() -> None:
    body = framed(b"a" * 100_000, b"second", b"third")
    first = []
    for part in Multipart(source(body, lambda: 777), BOUNDARY, buffer_size=1):
        for piece in part:
            first.append(bytes(piece[:1]))
            break
    assert first == [b"a", b"s", b"t"]


@pytest.mark.parametrize("end", [b"", b"--b-1", b"--b-1\r\n", b"--b-2--\r\n", b"--b-1\r\nA: 1\r\n"])
def test_what_ends_before_its_last_boundary_is_an_error_after_the_parts_that_were_whole(end: bytes) -> None:
    seen = []
    with pytest.raises(InvalidMultipart, match="before its last boundary"):
        for part in Multipart(source(framed(b"one", b"two")[: -len(b"--b-1--\r\n")] + end), BOUNDARY):
            seen.append(b"".join(map(bytes, part)))
    assert seen[0] == b"one"


def test_more_parts_than_allowed_are_refused_when_they_come() -> None:
    assert len(parts(framed(*[b"x"] * 5), most_parts=5)) == 5
    with pytest.raises(TooManyParts):
        parts(framed(*[b"x"] * 6), most_parts=5)


@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        ('multipart/related; type="application/dicom"; boundary=abc', "abc"),
        ("Multipart/Related;BOUNDARY=----=_Part_1.2", "----=_Part_1.2"),
        ('multipart/related; boundary="a b;c"; type=x/y;', "a b;c"),
        ('multipart/related; boundary="' + "x" * 70 + '"', "x" * 70),
        (r'multipart/related; boundary="a\+b"', "a+b"),
    ],
)
def test_the_boundary_of_a_content_type(header: str, boundary: str) -> None:
    if ";c" in boundary:  # no character of a boundary, but of a quoted string
        with pytest.raises(InvalidMultipart, match="characters"):
            assert content_type(header).boundary
        return
    assert content_type(header).type == "multipart/related"
    assert content_type(header).boundary == boundary


@pytest.mark.parametrize(
    "header",
    [
        "multipart/related",
        "multipart/related; boundary=",
        'multipart/related; boundary=""',
        "multipart/related; boundary=a; boundary=a",
        "multipart/related; boundary=a; Boundary=b",
        "multipart/related; boundary=" + "x" * 71,
        "multipart/related; boundary=" + "x" * (2 << 20),
        "multipart/related; boundary=a<b",
        "multipart/related; boundary=é",
        'multipart/related; boundary="a "',
        'multipart/related; boundary="a\r\nb"',
        "multipart/related; boundary",
        "multipart/related; =a",
    ],
)
def test_a_boundary_that_is_missing_twice_there_or_none_is_refused(header: str) -> None:
    with pytest.raises(InvalidMultipart):
        assert content_type(header).boundary


def test_parameters_keep_their_letters_and_names_do_not() -> None:
    assert content_type('A/B; Type="X/Y"; q=1') == ContentType("a/b", {"type": "X/Y", "q": "1"})


def reference(body: bytes, boundary: bytes) -> list[bytes] | None:
    """All at once: the parts with their headers and what is before them; None where there is no last boundary."""
    lines = re.finditer(rb"(?=\r\n--" + re.escape(boundary) + rb"(--|[ \t]{0,127}\r\n))", b"\r\n" + body)
    contents: list[bytes] = []
    begin = None
    text = b"\r\n" + body
    for line in lines:
        if begin is not None:
            contents.append(text[begin : line.start()])
        if line[1] == b"--":
            return contents
        begin = line.start() + 4 + len(boundary) + len(line[1]) - 2
    return None


ATOMS = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b"-", b"--", b"b", b"--b", b"\r\n--b", b"\r\n--b--", b" ", b"x", b"A:1\r\n\r\n"]
)


@given(st.lists(ATOMS, max_size=30), st.lists(st.integers(1, 9), min_size=1), st.booleans())
def test_any_body_in_any_pieces_has_the_parts_it_has_as_a_whole(
    atoms: list[bytes], sizes: list[int], end: bool
) -> None:
    body = b"".join(atoms) + (b"\r\n--b--" if end else b"")
    turn = 0

    def size() -> int:
        nonlocal turn
        turn += 1
        return sizes[turn % len(sizes)]

    expected = reference(body, b"b")
    found: list[bytes | None] = []
    try:
        for part in Multipart(source(body, size), "b", buffer_size=1):
            content = b"".join(map(bytes, part))
            found.append(None if part.problem else content)
    except InvalidMultipart:
        assert expected is None
        return
    assert expected is not None
    contents = [whole.partition(b"\r\n\r\n")[2] for whole in expected]
    assert found == [None if one is None else other for one, other in zip(found, contents, strict=True)]
