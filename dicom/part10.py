"""DICOM files (PS3.10): the file meta information we write, with where an instance came from; anybody's, read."""

import json
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from struct import Struct
from typing import Self

from dicom.cursor import FIRST_GROUP, LAYOUTS, VR_CODES, Cursor, Layout
from dicom.elements import LONG_VRS, UNDEFINED
from dicom.errors import InvalidDataSet
from dicom.sop_classes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    MEDIA_STORAGE_DIRECTORY,
)
from dicom.values import clean_uid, is_uid
from dicom.windows import BytesWindow, FileWindow, Readable

PRIVATE_CREATOR = "1.2.826.0.1.3680043.10.1461"  # (0002,0100): whose (0002,0102) is
IMPLEMENTATION_CLASS_UID = f"{PRIVATE_CREATOR}.1"

_SOP_CLASS_UID = 0x00020002
_SOP_INSTANCE_UID = 0x00020003
_TRANSFER_SYNTAX_UID = 0x00020010
_PRIVATE_CREATOR = 0x00020100
_PRIVATE_INFORMATION = 0x00020102
_META_CAP = 1 << 16
_DIGEST_LENGTH = 64
_SLOT = b'{"digest":"' + b" " * _DIGEST_LENGTH + b'"'
_DIGEST = re.compile(r"[0-9a-f]{64}")

_short = Struct("<HH2sH").pack
_long = Struct("<HH2sHI").pack
_GROUP_LENGTH = _short(2, 0, b"UL", 4)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who gave us an instance, how and when; travels in the private information of our file meta group."""

    received_ns: int
    calling_ae_title: str = ""
    called_ae_title: str = ""
    receiving_ae_title: str = ""
    address: str = ""
    association_id: str = ""
    peer: str = ""
    policy: str = ""
    issuer: str = ""  # of patient IDs that come without one
    character_set: str = ""  # of data sets that come without one
    user: str = ""  # who sent it over HTTP

    def at(self, received_ns: int) -> Self:
        """The same, of another moment."""
        return type(self)(received_ns, *_told(self))


_TOLD = tuple(field.name for field in fields(Provenance) if field.name != "received_ns")
_KINDS: dict[str, type] = {"received_ns": int, **dict.fromkeys(_TOLD, str)}
_told = attrgetter(*_TOLD)
_to_json = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Meta:
    """What a file says about itself, empty where it does not; `digest` and `provenance` in our own files only."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset_offset: int
    provenance: Provenance | None = None
    digest: str = ""

    @property
    def is_dicomdir(self) -> bool:
        return self.sop_class_uid == MEDIA_STORAGE_DIRECTORY


def meta_group(
    *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, provenance: Provenance | None
) -> bytes:
    """Preamble, prefix and group 0002 (PS3.10 7.1); the digest of the data set fits into `digest_slot` later."""
    told = None if provenance is None else _told(provenance)
    before, after, private = _constant(sop_class_uid, transfer_syntax_uid, told)
    body = b"".join((before, _element(0x0003, b"UI", sop_instance_uid), after))
    if provenance is not None:
        value = b'%b,"received_ns":%d%b' % (_SLOT, provenance.received_ns, private)
        value += b" " * (len(value) % 2)
        body += _long(2, 0x0102, b"OB", 0, len(value)) + value
    return bytes(128) + b"DICM" + _GROUP_LENGTH + len(body).to_bytes(4, "little") + body


@lru_cache
def _constant(sop_class_uid: str, transfer_syntax_uid: str, told: tuple[str, ...] | None) -> tuple[bytes, bytes, bytes]:
    """What all instances of an association have in common: before and after the SOP Instance UID, and of the private
    information what follows the receive time."""
    before = _long(2, 0x0001, b"OB", 0, 2) + b"\0\1" + _element(0x0002, b"UI", sop_class_uid)
    after = _element(0x0010, b"UI", transfer_syntax_uid) + _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID)
    if told is None:
        return before, after, b""
    said = dict(zip(_TOLD, told, strict=True))
    after += _element(0x0016, b"AE", said["receiving_ae_title"])
    after += _element(0x0017, b"AE", said["calling_ae_title"])
    after += _element(0x0018, b"AE", said["called_ae_title"])
    after += _element(0x0100, b"UI", PRIVATE_CREATOR)
    return before, after, b"," + _to_json(said).encode("ascii")[1:]


def _element(element: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii", "replace")
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return _short(2, element, vr, len(value)) + value


def write_file(
    path: Path,
    fragments: Iterable[Iterable[bytes | memoryview]],
    *,
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
) -> None:
    """A file of the data set that comes in these fragments, whole or not at all; on disk when the system likes."""
    meta = meta_group(
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        transfer_syntax_uid=transfer_syntax_uid,
        provenance=None,
    )
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(partial, "wb") as file:
            file.write(meta)
            for views in fragments:
                file.writelines(views)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def digest_slot(meta: bytes) -> int:
    """Where in the file the 64 hexadecimal characters of the digest belong; `meta` as `meta_group` made it."""
    return meta.index(_SLOT) + _SLOT.index(b" ")


def read_meta(source: int | bytes | memoryview | Readable, *, lenient: bool = False) -> Meta:
    """The file meta information of a file (a descriptor, its bytes, or what reads it).

    `lenient` also takes what other programs leave behind: no preamble, no meta group, a wrong length or byte order; the
    transfer syntax is then guessed from the data set. Raises InvalidDataSet for what is no DICOM file.
    """
    window: Readable
    if isinstance(source, int):
        window = FileWindow(source, 0, os.fstat(source).st_size)
    else:
        window = BytesWindow(source) if isinstance(source, bytes | memoryview) else source
    cursor = Cursor(window)
    cursor.load(0)
    prefixed = cursor.buffer[128:132] == b"DICM"
    if not prefixed and not lenient:
        raise InvalidDataSet("Not a DICOM file")
    cursor.position = 132 if prefixed else 4 if cursor.buffer[:4] == b"DICM" else 0
    values = _read_group(cursor, trusted=not lenient)
    transfer_syntax_uid = _uid(values, _TRANSFER_SYNTAX_UID)
    if not transfer_syntax_uid:
        if not lenient:
            raise InvalidDataSet("No transfer syntax in the file", offending_element=_TRANSFER_SYNTAX_UID)
        transfer_syntax_uid = _guess(cursor, certain=prefixed or bool(values))
    provenance, digest = _read_provenance(values)
    return Meta(
        sop_class_uid=_uid(values, _SOP_CLASS_UID),
        sop_instance_uid=_uid(values, _SOP_INSTANCE_UID),
        transfer_syntax_uid=transfer_syntax_uid,
        dataset_offset=cursor.offset,
        provenance=provenance,
        digest=digest,
    )


def _read_group(cursor: Cursor, *, trusted: bool) -> dict[int, bytes]:
    """Elements of group 0002; the cursor ends behind them. `trusted`: as far as the group length says, since a data set
    may begin with such elements, too (WIRE 9). Others write any length: then as far as the group goes."""
    values: dict[int, bytes] = {}
    # PS3.10 7.1: explicit VR little endian. Old toolkits wrote it in the transfer syntax of the data set.
    layout = LAYOUTS[False, cursor.buffer[cursor.position : cursor.position + 2] != b"\0\2"]
    until = _end_of_group(cursor) if trusted else cursor.size
    _read_regular(cursor, layout, values, until)
    while cursor.offset < until and cursor.more() and cursor.tag(layout) >> 16 == 2:
        start, length = _form(cursor, layout)
        if length == UNDEFINED or not cursor.fits(start, length) or cursor.offset > _META_CAP:
            raise InvalidDataSet("File meta information cannot be read", offending_element=cursor.tag(layout))
        tag = cursor.tag(layout)
        cursor.position += start
        if cursor.position + length > cursor.end:
            cursor.load(cursor.offset)
        values[tag] = cursor.buffer[cursor.position : cursor.position + min(length, _META_CAP)]
        cursor.position += length
    return values


def _end_of_group(cursor: Cursor) -> int:
    """By File Meta Information Group Length; of the whole file, where the group does not begin with it."""
    head = cursor.buffer[cursor.position : cursor.position + 12]
    return cursor.offset + 12 + int.from_bytes(head[8:], "little") if head[:8] == _GROUP_LENGTH else cursor.size


def _read_regular(cursor: Cursor, layout: Layout, values: dict[int, bytes], until: int) -> None:
    """The hot loop: as far as the window goes, and nothing is unusual."""
    buffer, position, end = cursor.buffer, cursor.position, min(cursor.end, until - cursor.base)
    head, u32, short, long, limit = layout.head, layout.u32, layout.short, layout.long, end - 12
    while position <= limit:
        group, element, vr, length = head(buffer, position)
        start = position + 8
        if vr in long:
            (length,) = u32(buffer, start)
            start += 4
        elif vr not in short:
            break
        stop = start + length
        if group != 2 or stop > end:
            break
        values[group << 16 | element] = buffer[start:stop]
        position = stop
    cursor.position = position


def _form(cursor: Cursor, layout: Layout) -> tuple[int, int]:
    vr = cursor.vr()
    if vr not in VR_CODES:
        return 8, layout.u32(cursor.buffer, cursor.position + 4)[0]
    if vr.decode("ascii") in LONG_VRS:
        return 12, layout.u32(cursor.buffer, cursor.position + 8)[0]
    return 8, layout.head(cursor.buffer, cursor.position)[3]


def _uid(values: dict[int, bytes], tag: int) -> str:
    """What is no UID counts as not there: the data set has it as well."""
    uid = clean_uid(values.get(tag, b""))
    return uid if is_uid(uid) else ""


def _guess(cursor: Cursor, *, certain: bool) -> str:
    """The transfer syntax by the first element; compression leaves no trace there."""
    if not cursor.more():
        raise InvalidDataSet("No data set in the file")
    layout = cursor.detect(LAYOUTS[True, True])
    tag, length = cursor.tag(layout), layout.u32(cursor.buffer, cursor.position + 4)[0]
    plausible = FIRST_GROUP <= tag >> 16 <= 0xFF and (not layout.implicit or cursor.fits(8, length))
    if not plausible and not certain:
        raise InvalidDataSet("Not a DICOM file")
    if layout.implicit:
        return IMPLICIT_VR_LITTLE_ENDIAN
    return EXPLICIT_VR_LITTLE_ENDIAN if layout.little_endian else EXPLICIT_VR_BIG_ENDIAN


def _read_provenance(values: dict[int, bytes]) -> tuple[Provenance | None, str]:
    """Ours only; what was tampered with counts as not there."""
    if _uid(values, _PRIVATE_CREATOR) != PRIVATE_CREATOR:
        return None, ""
    try:
        written = json.loads(values.get(_PRIVATE_INFORMATION, b"").rstrip(b"\0 "))
    except (ValueError, RecursionError):
        return None, ""
    if not isinstance(written, dict):
        return None, ""
    digest = str(written.get("digest", ""))
    known = {name: written[name] for name, kind in _KINDS.items() if isinstance(written.get(name), kind)}
    return (
        Provenance(**known) if "received_ns" in known else None,
        digest if _DIGEST.fullmatch(digest) else "",
    )
