"""Status codes of DIMSE responses (PS3.7 annex C, PS3.4 annexes B, C, F, J, K)."""

# PS3.7 C.1: general
SUCCESS = 0x0000
WARNING_ATTRIBUTE_LIST = 0x0107
WARNING_ATTRIBUTE_VALUE_OUT_OF_RANGE = 0x0116
NO_SUCH_ATTRIBUTE = 0x0105
PROCESSING_FAILURE = 0x0110
NO_SUCH_INSTANCE = 0x0112
INVALID_ATTRIBUTE_VALUE = 0x0106
INVALID_ARGUMENT_VALUE = 0x0115
INVALID_INSTANCE = 0x0117
DUPLICATE_INSTANCE = 0x0111
NO_SUCH_EVENT_TYPE = 0x0113
NO_SUCH_SOP_CLASS = 0x0118
CLASS_INSTANCE_CONFLICT = 0x0119
MISSING_ATTRIBUTE = 0x0120
MISSING_ATTRIBUTE_VALUE = 0x0121
SOP_CLASS_NOT_SUPPORTED = 0x0122
NO_SUCH_ACTION = 0x0123
NOT_AUTHORIZED = 0x0124
DUPLICATE_INVOCATION = 0x0210
UNRECOGNIZED_OPERATION = 0x0211
MISTYPED_ARGUMENT = 0x0212
RESOURCE_LIMITATION = 0x0213

PENDING = 0xFF00
PENDING_OPTIONAL_KEYS_UNSUPPORTED = 0xFF01  # PS3.4 Table C.4-1
CANCEL = 0xFE00

DUPLICATE_TRANSACTION_UID = 0x0131  # a reason only, PS3.3 C.14.1.1

# PS3.4 Table B.2-1: Storage
STORE_OUT_OF_RESOURCES = 0xA700
STORE_DATA_SET_MISMATCH = 0xA900
STORE_CANNOT_UNDERSTAND = 0xC000

STORE_WARNING_COERCED = 0xB000
STORE_WARNING_DISCARDED = 0xB006
STORE_WARNING_MISMATCH = 0xB007

# PS3.18 Tables I.2-1 and I.2-2: Store Instances Response
TRANSFER_SYNTAX_NOT_SUPPORTED = 0xC122
STORED_IN_QUARANTINE = 0xB00E  # our own, as the table allows

# PS3.4 Tables C.4-1 to C.4-3: Query/Retrieve
QR_OUT_OF_RESOURCES = 0xA700
RETRIEVE_CANNOT_COUNT_MATCHES = 0xA701
RETRIEVE_SUBOPERATIONS_FAILED = 0xA702
RETRIEVE_DESTINATION_UNKNOWN = 0xA801
IDENTIFIER_MISMATCH = 0xA900
RETRIEVE_WARNING = 0xB000
UNABLE_TO_PROCESS = 0xC000


def is_pending(status: int) -> bool:
    return status in (PENDING, PENDING_OPTIONAL_KEYS_UNSUPPORTED)


def is_warning(status: int) -> bool:
    """PS3.7 C.1: 0001, 0107, 0116 and Bxxx."""
    return status in (0x0001, WARNING_ATTRIBUTE_LIST, WARNING_ATTRIBUTE_VALUE_OUT_OF_RANGE) or status >> 12 == 0xB


def is_success(status: int) -> bool:
    return status == SUCCESS


def is_out_of_resources(status: int) -> bool:
    """PS3.4 Table B.2-1, PS3.7 C.5.16: it may work later."""
    return status >> 8 == STORE_OUT_OF_RESOURCES >> 8 or status == RESOURCE_LIMITATION


_OF_STORAGE = {
    STORE_WARNING_COERCED: "Data elements were coerced",
    STORE_WARNING_DISCARDED: "Data elements were discarded",
    STORE_WARNING_MISMATCH: "The data set does not match the SOP class",
    PROCESSING_FAILURE: "Processing failure",
    DUPLICATE_INSTANCE: "It is there already",
    SOP_CLASS_NOT_SUPPORTED: "SOP class not supported",
    NOT_AUTHORIZED: "Not authorised",
}
_FAMILIES = {
    STORE_OUT_OF_RESOURCES >> 8: "Out of resources",
    STORE_DATA_SET_MISMATCH >> 8: "The data set does not match the SOP class",
}


def of_storage(status: int, comment: str = "") -> str:
    """The status of a C-STORE for people, with the receiver's Error Comment."""
    meaning = _OF_STORAGE.get(status) or _FAMILIES.get(status >> 8)
    if meaning is None and status >> 12 == STORE_CANNOT_UNDERSTAND >> 12:
        meaning = "It cannot understand this"
    return ": ".join(part for part in (f"{status:04X}", meaning, comment) if part)
