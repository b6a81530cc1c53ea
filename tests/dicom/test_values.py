"""Text in every character set, names as they are searched, dates, times, numbers and UIDs (WIRE 10, 11, 17)."""

import json
from datetime import date, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.values import (
    clean_uid,
    decode,
    encode,
    fold,
    is_uid,
    name_groups,
    name_key,
    parse_date,
    parse_number,
    parse_time,
)

# Names and bytes of PS3.5 annexes H, I, J, K and PS3.3 C.12.1.1.2.
STANDARD = [
    (["ISO_IR 100"], b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
    (["ISO_IR 101"], b"W\xb1^\xa3\xf3d\xbc", "Wą^Łódź"),
    (["ISO_IR 109"], b"\xa6\xb1", "Ĥħ"),
    (["ISO_IR 110"], b"\xd0\xf1", "Đņ"),
    (["ISO_IR 126"], b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος"),
    (["ISO_IR 127"], b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", "قباني^لنزار"),
    (["ISO_IR 138"], b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה"),
    (["ISO_IR 144"], b"\xbb\xee\xda", "Люк"),
    (["ISO_IR 148"], b"\xd0\xfe\xdd", "ĞşİĞşİ"[:3]),
    (["ISO_IR 166"], b"\xca\xc1\xaa\xd2\xc2", "สมชาย"),
    (["ISO_IR 203"], b"\xa4\xa6", "€Š"),
    (["ISO_IR 13"], b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    (["ISO_IR 192"], b"Wang^XiaoDong=\xe7\x8e\x8b^\xe5\xb0\x8f\xe6\x9d\xb1", "Wang^XiaoDong=王^小東"),
    (["GB18030"], b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东"),
    (["GBK"], b"\xcd\xf5^\xd0\xa1\xb6\xab", "王^小东"),
    (
        ["", "ISO 2022 IR 87"],
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    (
        ["ISO 2022 IR 13", "ISO 2022 IR 87"],
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ),
    (["", "ISO 2022 IR 159"], b"\x1b$(D\x30\x21\x1b(B", "丂"),
    (
        ["", "ISO 2022 IR 149"],
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    (
        ["", "ISO 2022 IR 58"],
        b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
        "Zhang^XiaoDong=张^小东=",
    ),
    (
        ["ISO 2022 IR 100", "ISO 2022 IR 144"],
        b"J\xe9r\xf4me^\x1b-L\xbb\xee\xda\x1b-A^\xe9",
        "Jérôme^Люк^é",
    ),
]


@pytest.mark.parametrize(("sets", "raw", "text"), STANDARD, ids=["+".join(sets) for sets, *_ in STANDARD])
def test_the_examples_of_the_standard_are_read(sets: list[str], raw: bytes, text: str) -> None:
    assert decode(raw, sets, "PN") == text
    assert decode(raw + b" ", sets, "PN") == text


@pytest.mark.parametrize(("sets", "raw", "text"), STANDARD, ids=["+".join(sets) for sets, *_ in STANDARD])
def test_the_examples_of_the_standard_are_written_and_read_again(sets: list[str], raw: bytes, text: str) -> None:
    written = encode(text, sets)
    assert written is not None
    assert decode(written, sets, "PN") == text
    assert len(written) == len(raw)


@pytest.mark.parametrize("name", ["ISO IR 144", "ISO-IR 144", "ISO_IR_144", "iso_ir 144 ", "ISO 2022 IR 144"])
def test_names_of_character_sets_are_known_however_they_are_spelt(name: str) -> None:
    assert decode(b"\xbb\xee\xda", [name]) == "Люк"


@pytest.mark.parametrize("delimiter", [b"^", b"=", b"\\", b"\r\n", b"\n", b"\f", b"\t"])
def test_a_code_extension_ends_at_delimiters_of_names(delimiter: bytes) -> None:
    sets = ["ISO 2022 IR 100", "ISO 2022 IR 144"]
    text = decode(b"\xe9\x1b-L\xbb" + delimiter + b"\xe9", sets, "PN")
    assert (text[:2], text[-1]) == ("éЛ", "é")


def test_a_code_extension_outlasts_the_delimiters_of_names_in_other_texts() -> None:
    sets = ["ISO 2022 IR 100", "ISO 2022 IR 144"]
    assert decode(b"\x1b-L\xbb^\xee=\xda\\\xe9", sets, "LO") == "Л^ю=к\\é"
    assert decode(b"\x1b-L\xbb^\xee=\xda\\\xbb", sets, "LT") == "Л^ю=к\\Л"


def test_an_escape_forgotten_behind_a_delimiter_is_made_up_for() -> None:
    korean = b"\x1b$)C\xfb\xf3^\xd1\xce\xd4\xd7"
    assert decode(korean, ["", "ISO 2022 IR 149"], "PN") == "洪^吉洞"


def test_bytes_of_a_two_byte_character_that_look_like_separators_are_none() -> None:
    assert "乗\\".encode("gb18030") == b"\x81\x5c\x5c"
    assert decode("乗\\王".encode("gb18030"), ["GB18030"]) == "乗\\王"
    assert decode("乗\\王".encode("gbk"), ["GBK"]) == "乗\\王"
    # Shift-JIS sent as ISO_IR 13, which knows single bytes only: 表 is 95 5C.
    assert decode("表\\ﾀ".encode("shift_jis"), ["ISO_IR 13"]) == "表\\ﾀ"
    # In JIS X 0208 every byte is low, also 5C, 5E and 3D.
    assert decode(b"\x1b$B^\\=^\x1b(B", ["", "ISO 2022 IR 87"], "PN") == b"\x1b$B^\\=^\x1b(B".decode("iso2022_jp")


def test_values_between_backslashes_are_stripped_one_by_one() -> None:
    assert decode(b" ORIGINAL\\PRIMARY \\ AXIAL ", vr="CS") == "ORIGINAL\\PRIMARY\\AXIAL"
    assert decode(b" 1 \\ 2 \0", vr="IS") == "1\\2"


def test_texts_keep_their_leading_spaces_and_backslashes() -> None:
    assert decode(b"  a \\ b  ", vr="LT") == "  a \\ b"


@pytest.mark.parametrize(
    ("raw", "sets", "text"),
    [
        ("Müller".encode(), [], "Müller"),  # UTF-8, undeclared
        ("Müller".encode("latin_1"), [], "Müller"),
        ("Müller".encode("latin_1"), ["ISO_IR 192"], "Müller"),  # declared what it is not
        ("Müller".encode("latin_1"), ["ISO_IR 999"], "Müller"),
        ("Müller".encode(), ["nonsense"], "Müller"),
        ("Müller".encode(), ["", "ISO 2022 IR 87"], "Müller"),
        ("洪吉洞".encode("euc_kr"), ["", "ISO 2022 IR 149"], "洪吉洞"),  # no escape at all
        ("王小東".encode()[:-1], ["ISO_IR 192"], "王小\ufffd"),  # cut to the length of the VR
        ("סמך".encode(), ["ISO_IR 138"], "סמך"),  # bytes the declared set does not have
        (b"A\x1b$)Q\xe9", [], "A$)Qé"),  # an escape nobody knows
        (b"\x1b-L\xbb\xee\xda", [], "Люк"),  # an escape without declaration
        (b"A\0B\0", ["ISO_IR 192"], "AB"),
        (b"\xff\xfeA\0", [], "ÿþA"),
    ],
)
def test_wrong_and_undeclared_character_sets_are_read_as_far_as_they_can_be(
    raw: bytes, sets: list[str], text: str
) -> None:
    assert decode(raw, sets) == text


CHARACTER_SETS = [sets for sets, *_ in STANDARD] + [
    [],
    [""],
    ["ISO 2022 IR 6", "ISO 2022 IR 13", "ISO 2022 IR 87", "ISO 2022 IR 159", "ISO 2022 IR 149", "ISO 2022 IR 58"],
    ["ISO 2022 IR 100", "ISO 2022 IR 126", "ISO 2022 IR 148", "ISO 2022 IR 166", "ISO 2022 IR 149"],
    ["ISO 2022 IR 149", "ISO 2022 IR 87"],
    ["ISO_IR 6", "GB18030"],
    ["\ud800", "\0", "٣", "9" * 5000],
]
ESCAPES = [
    b"\x1b(B",
    b"\x1b(J",
    b"\x1b)I",
    b"\x1b$B",
    b"\x1b$@",
    b"\x1b$(D",
    b"\x1b$)C",
    b"\x1b$)A",
    b"\x1b-A",
    b"\x1b",
]
RAW = st.lists(st.one_of(st.binary(max_size=6), st.sampled_from(ESCAPES)), max_size=8).map(b"".join)


@given(RAW, st.sampled_from(CHARACTER_SETS), st.sampled_from(["PN", "LO", "LT", "UC", "CS", "XX"]))
def test_no_bytes_make_decoding_fail_or_bring_a_nul(raw: bytes, sets: list[str], vr: str) -> None:
    text = decode(raw, sets, vr)
    assert "\0" not in text
    assert "\x1b" not in text
    text.encode("utf-8")
    json.dumps(text)
    for group in name_groups(text):
        assert "\0" not in name_key(group)


LETTERS = st.text(st.sampled_from("AbcÄéßŁŚĦĲДжφςشבאاĞ€山田太郎やまだﾔﾏﾞ홍길동王东東丂ไทย^=\\ ¥‾＼~"), max_size=24)


@given(LETTERS, st.sampled_from(CHARACTER_SETS[:-1]))
def test_what_is_encoded_is_read_as_it_was_and_nothing_is_encoded_with_loss(text: str, sets: list[str]) -> None:
    encoded = encode(text, sets)
    if encoded is not None:
        assert decode(b"." + encoded + b".", sets, "PN") == decode_tidy(f".{text}.")
    elif sets and sets[0] in ("ISO_IR 192", "GB18030"):
        raise AssertionError("these have everything")


def decode_tidy(text: str) -> str:
    return "\\".join(value.strip() for value in text.split("\\"))


def test_what_a_character_set_does_not_have_is_not_encoded() -> None:
    assert encode("Łódź", ["ISO_IR 100"]) is None
    assert encode("山田", ["", "ISO 2022 IR 149"]) is not None
    assert encode("ไทย", ["", "ISO 2022 IR 87"]) is None
    assert encode("é", []) is None
    assert encode("¥", ["ISO_IR 13"]) is None
    assert encode("𠀀", ["GBK"]) is None


def test_code_extensions_are_taken_back_before_delimiters_and_at_the_end() -> None:
    assert encode("é^Л", ["ISO 2022 IR 100", "ISO 2022 IR 144"]) == b"\xe9^\x1b-L\xbb\x1b-A"
    assert encode("山^田", ["", "ISO 2022 IR 87"]) == b"\x1b$B;3\x1b(B^\x1b$BED\x1b(B"
    assert encode("山A", ["ISO 2022 IR 13", "ISO 2022 IR 87"]) == b"\x1b$B;3\x1b(JA"


# Names


def test_names_have_three_groups() -> None:
    assert name_groups("Yamada^Tarou=山田^太郎=やまだ^たろう") == ("Yamada^Tarou", "山田^太郎", "やまだ^たろう")
    assert name_groups("Doe^John") == ("Doe^John", "", "")
    assert name_groups("=山田") == ("", "山田", "")
    assert name_groups("A=B=C=D=E") == ("A", "B", "C")
    assert name_groups("Doe^John\\Roe^Jane=x") == ("Doe^John", "", "")
    assert name_groups("") == ("", "", "")


@pytest.mark.parametrize(
    ("group", "key"),
    [
        ("Doe^John^^^", "doe^john"),
        ("  DOE  ^ john ^^Dr. ", "doe^john^^dr."),
        ("^John", "^john"),
        ("Müller^Jürgen", "muller^jurgen"),
        ("Großmann", "grossmann"),
        ("GROẞMANN", "grossmann"),
        ("Ångström^Bjørn", "angstrom^bjorn"),
        ("Łukasz^Đorđe^Þór^Æsa^Œdipe", "lukasz^dorde^thor^aesa^oedipe"),
        ("İSTANBUL^Ilı", "istanbul^ili"),
        ("Nguyễn^Thị Ánh", "nguyen^thi anh"),
        ("Μαρία^ΣΊΣΥΦΟΣ", "μαρια^σισυφοσ"),
        ("Артём^ЙОД", "артем^иод"),
        ("ＤＯＥ^Ｊｏｈｎ", "doe^john"),
        ("ﾔﾏﾀﾞ^ﾀﾛｳ", "ヤマダ^タロウ"),
        ("がぎ", "がぎ"),
        ("홍^길동", "홍^길동"),
        ("สมชาย", "สมชาย"),
        ("Doe＾John", "doejohn"),
        ("Doe\0", "doe"),
        ("^^^", ""),
        ("", ""),
    ],
)
def test_names_are_searched_without_case_accents_width_and_what_trails(group: str, key: str) -> None:
    assert name_key(group) == key


@given(st.text(max_size=40))
def test_a_key_is_its_own_key(group: str) -> None:
    key = name_key(group)
    assert name_key(key) == key
    assert not key.endswith(("^", " "))


@given(LETTERS)
def test_case_never_matters(text: str) -> None:
    assert fold(text.upper()) == fold(text.lower())


def test_a_prefix_of_a_name_is_a_prefix_of_its_key() -> None:
    assert name_key("Müller^Jürgen").startswith(name_key("MULLER^Jü"))


# Dates, times, numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20240229", date(2024, 2, 29)),
        (" 20240229 ", date(2024, 2, 29)),
        ("1997.04.22", date(1997, 4, 22)),
        ("1997-04-22", date(1997, 4, 22)),
        ("20230229", None),
        ("00000000", None),
        ("20241301", None),
        ("2024", None),
        ("202402", None),
        ("1997.0422", None),
        ("20240101-20240201", None),
        ("٢٠٢٤٠١٠١", None),
        ("", None),
        ("ANON", None),
    ],
)
def test_dates(text: str, value: date | None) -> None:
    assert parse_date(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("07", time(7)),
        ("0710", time(7, 10)),
        ("071015", time(7, 10, 15)),
        ("071015.5", time(7, 10, 15, 500_000)),
        ("071015.123456 ", time(7, 10, 15, 123_456)),
        ("071015.12345678", time(7, 10, 15, 123_456)),
        ("071015.", time(7, 10, 15)),
        ("10:20:30", time(10, 20, 30)),
        ("10:20:30.25", time(10, 20, 30, 250_000)),
        ("10:20", time(10, 20)),
        ("235960", time(23, 59, 59, 999_999)),
        ("240000", None),
        ("1060", None),
        ("7", None),
        ("071", None),
        ("10:2030", None),
        ("", None),
        ("noon", None),
    ],
)
def test_times(text: str, value: time | None) -> None:
    assert parse_time(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        (" +12 ", 12),
        ("-3", -3),
        ("1.0", 1),
        ("9223372036854775807", 9223372036854775807),
        ("9223372036854775808", None),
        ("1.5", None),
        ("1\\2", None),
        ("1_0", None),
        ("９", None),
        ("", None),
        ("9" * 10_000, None),
    ],
)
def test_numbers(text: str, value: int | None) -> None:
    assert parse_number(text) == value


@given(st.text(max_size=30))
def test_no_text_makes_parsing_fail(text: str) -> None:
    parse_date(text)
    parse_time(text)
    parse_number(text)
    is_uid(text)


# UIDs


def test_uids_are_compared_without_their_padding() -> None:
    assert clean_uid(b"1.2.3\0") == clean_uid("1.2.3 ") == clean_uid(b" 1.2.3\0\0") == "1.2.3"


def test_a_nul_inside_a_uid_makes_it_useless_but_harmless() -> None:
    assert "\0" not in clean_uid(b"1.2\0.3")
    assert not is_uid(clean_uid(b"1.2\0.3"))


@pytest.mark.parametrize("uid", ["1.2.3", "1.02.3", "1", "2.25." + "9" * 38, "1." + "2" * 62, "1.2..3"])
def test_uids_of_careless_programs_are_accepted(uid: str) -> None:
    assert is_uid(uid)


@pytest.mark.parametrize("uid", ["", "1.2.a", "1." + "2" * 63, "../../x", "..", ".", "1.2 ", "1.2\n", "1,2", "１.２"])
def test_what_cannot_identify_is_refused(uid: str) -> None:
    assert not is_uid(uid)
