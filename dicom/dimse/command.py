"""Command sets: group 0000, Implicit VR Little Endian (PS3.7 6.3.1, annex E)."""

from collections.abc import Iterable
from enum import IntEnum
from struct import Struct, error

from dicom.dimse.errors import ProtocolError

_ELEMENT = Struct("<HHI")
_GROUP_LENGTH = Struct("<HHII")
_US = Struct("<H")
_TAG = Struct("<HH")
RESPONSE = 0x8000
NO_DATA_SET = b"\x01\x01"  # PS3.7 E.1: any other Command Data Set Type announces a data set
DATA_SET = b"\x01\x00"
_LONGEST_COMMENT = 256


class CommandField(IntEnum):
    """PS3.7 E.1-1: the requests. A response has bit 15 set."""

    C_STORE = 0x0001
    C_GET = 0x0010
    C_FIND = 0x0020
    C_MOVE = 0x0021
    C_ECHO = 0x0030
    C_CANCEL = 0x0FFF
    N_EVENT_REPORT = 0x0100
    N_GET = 0x0110
    N_SET = 0x0120
    N_ACTION = 0x0130
    N_CREATE = 0x0140
    N_DELETE = 0x0150


class Tag:
    """Element numbers in group 0000; plain integers, since members of an enumeration cost more than all else here."""

    GROUP_LENGTH = 0x0000
    AFFECTED_SOP_CLASS_UID = 0x0002
    REQUESTED_SOP_CLASS_UID = 0x0003
    COMMAND_FIELD = 0x0100
    MESSAGE_ID = 0x0110
    MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
    MOVE_DESTINATION = 0x0600
    PRIORITY = 0x0700
    COMMAND_DATA_SET_TYPE = 0x0800
    STATUS = 0x0900
    OFFENDING_ELEMENT = 0x0901
    ERROR_COMMENT = 0x0902
    ERROR_ID = 0x0903
    AFFECTED_SOP_INSTANCE_UID = 0x1000
    REQUESTED_SOP_INSTANCE_UID = 0x1001
    EVENT_TYPE_ID = 0x1002
    ATTRIBUTE_IDENTIFIER_LIST = 0x1005
    ACTION_TYPE_ID = 0x1008
    REMAINING = 0x1020
    COMPLETED = 0x1021
    FAILED = 0x1022
    WARNING = 0x1023
    MOVE_ORIGINATOR_AE_TITLE = 0x1030
    MOVE_ORIGINATOR_MESSAGE_ID = 0x1031


class Command:
    """A command set as it came. `elements`: element number in group 0000 -> value bytes."""

    __slots__ = ("command_field", "elements", "has_data_set", "message_id")

    def __init__(self, elements: dict[int, bytes]) -> None:
        self.elements = elements
        try:
            self.command_field: int = _US.unpack(elements[Tag.COMMAND_FIELD])[0]
            # What a response or a C-CANCEL speaks of is the other element.
            number = elements.get(Tag.MESSAGE_ID) if self.command_field < RESPONSE else None
            self.message_id: int = _US.unpack(
                elements[Tag.MESSAGE_ID_BEING_RESPONDED_TO] if number is None else number
            )[0]
            self.has_data_set: bool = elements[Tag.COMMAND_DATA_SET_TYPE] != NO_DATA_SET
        except (KeyError, error) as wrong:
            raise ProtocolError("A command set lacks its field, its message ID or its data set type") from wrong

    def __repr__(self) -> str:
        return f"<Command {self.name} {self.message_id}>"

    @property
    def is_response(self) -> bool:
        return self.command_field >= RESPONSE

    @property
    def name(self) -> str:
        """C-STORE-RQ, C-FIND-RSP, ..."""
        try:
            name = CommandField(self.command_field & ~RESPONSE).name.replace("_", "-")
        except ValueError:
            return f"{self.command_field:04X}"
        return f"{name}-{'RSP' if self.is_response else 'RQ'}"

    def integer(self, tag: int) -> int | None:
        value = self.elements.get(tag)
        return _US.unpack(value)[0] if value is not None and len(value) == 2 else None

    def text(self, tag: int) -> str:
        return self.elements.get(tag, b"").strip(b"\0 ").decode("latin-1").replace("\0", "")

    def tags(self, tag: int) -> tuple[int, ...]:
        value = self.elements.get(tag, b"")
        return tuple(group << 16 | element for group, element in _TAG.iter_unpack(value[: len(value) & ~3]))

    @property
    def status(self) -> int | None:
        return self.integer(Tag.STATUS)

    @property
    def message_id_being_responded_to(self) -> int | None:
        return self.integer(Tag.MESSAGE_ID_BEING_RESPONDED_TO)

    @property
    def affected_sop_class_uid(self) -> str:
        return self.text(Tag.AFFECTED_SOP_CLASS_UID)

    @property
    def affected_sop_instance_uid(self) -> str:
        return self.text(Tag.AFFECTED_SOP_INSTANCE_UID)

    @property
    def requested_sop_class_uid(self) -> str:
        return self.text(Tag.REQUESTED_SOP_CLASS_UID)

    @property
    def requested_sop_instance_uid(self) -> str:
        return self.text(Tag.REQUESTED_SOP_INSTANCE_UID)

    @property
    def move_destination(self) -> str:
        return self.text(Tag.MOVE_DESTINATION)

    @property
    def priority(self) -> int:
        return self.integer(Tag.PRIORITY) or 0

    @property
    def move_originator_ae_title(self) -> str:
        return self.text(Tag.MOVE_ORIGINATOR_AE_TITLE)

    @property
    def move_originator_message_id(self) -> int | None:
        return self.integer(Tag.MOVE_ORIGINATOR_MESSAGE_ID)

    @property
    def event_type_id(self) -> int | None:
        return self.integer(Tag.EVENT_TYPE_ID)

    @property
    def action_type_id(self) -> int | None:
        return self.integer(Tag.ACTION_TYPE_ID)

    @property
    def attribute_identifier_list(self) -> tuple[int, ...]:
        return self.tags(Tag.ATTRIBUTE_IDENTIFIER_LIST)

    @property
    def offending_elements(self) -> tuple[int, ...]:
        return self.tags(Tag.OFFENDING_ELEMENT)

    @property
    def error_comment(self) -> str:
        """What can be read of it; LO has 64 characters (PS3.7 E.1), some peers say more."""
        said = self.text(Tag.ERROR_COMMENT)[:_LONGEST_COMMENT]
        return "".join(character if character.isprintable() else " " for character in said).strip()

    @property
    def error_id(self) -> int | None:
        return self.integer(Tag.ERROR_ID)

    @property
    def number_of_remaining_suboperations(self) -> int | None:
        return self.integer(Tag.REMAINING)

    @property
    def number_of_completed_suboperations(self) -> int | None:
        return self.integer(Tag.COMPLETED)

    @property
    def number_of_failed_suboperations(self) -> int | None:
        return self.integer(Tag.FAILED)

    @property
    def number_of_warning_suboperations(self) -> int | None:
        return self.integer(Tag.WARNING)


def decode(encoded: bytes) -> Command:
    """Raises ProtocolError."""
    elements: dict[int, bytes] = {}
    position, end, unpack = 0, len(encoded), _ELEMENT.unpack_from
    while position < end:
        start = position + 8
        if start > end:
            raise ProtocolError("A command set is cut off")
        group, element, length = unpack(encoded, position)
        position = start + length
        if position > end:
            raise ProtocolError("A command element is longer than its command set")
        if not group:
            elements[element] = encoded[start:position]
    return Command(elements)


def us(value: int) -> bytes:
    return _US.pack(value)


def uid(value: str) -> bytes:
    encoded = value.encode("ascii", "replace")
    return encoded + b"\0" if len(encoded) & 1 else encoded


def text(value: str, longest: int) -> bytes:
    encoded = value.encode("ascii", "replace")[:longest]
    return encoded + b" " if len(encoded) & 1 else encoded


def tag_list(tags: Iterable[int]) -> bytes:
    return b"".join(_TAG.pack(tag >> 16, tag & 0xFFFF) for tag in tags)


def encode(elements: dict[int, bytes]) -> bytes:
    """Ascending, with the group length in front."""
    pack = _ELEMENT.pack
    body = b"".join([pack(0, tag, len(value)) + value for tag, value in sorted(elements.items())])
    return _GROUP_LENGTH.pack(0, 0, 4, len(body)) + body
