"""Query/Retrieve, PS3.4 annex C, as SCU: ask a remote archive, have it send to us or to somebody else.

with associate(host, port, ..., contexts=scu.contexts(FIND[STUDY_ROOT])) as assoc:
    for answer in scu.find(assoc, STUDY_ROOT, scu.request("STUDY", {"PatientID": "1"})):
        ...
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from apps.network import scu
from apps.network.scu import PLAIN
from apps.qr.attributes import FIND, GET, MOVE, QUERY_RETRIEVE_LEVEL, SPECIFIC_CHARACTER_SET, InformationModel
from apps.storage import intake
from apps.storage.intake import Refused
from dicom import part10, status
from dicom.dictionary import dictionary_vr, tag_of
from dicom.dimse import Association, Context, Message, Response, Responses
from dicom.dimse.negotiation import Role
from dicom.encoding import ElementIn, Identifier, encode_elements, read_identifier
from dicom.errors import InvalidDataSet, InvalidValue
from dicom.part10 import Provenance
from dicom.tally import FAILED_SOP_INSTANCE_UID_LIST
from dicom.values import encode, is_uid

MOST_KINDS = 127  # PS3.8 9.3.2: 128 contexts, one of them the retrieve's own
_UNICODE = "ISO_IR 192"

Proposal = tuple[str, Sequence[str]]
Begun = Callable[[Responses], None]


@dataclass(frozen=True, slots=True)
class Progress:
    """What a response says of the sub-operations; `remaining` is None in the final one of most archives."""

    status: int
    completed: int
    failed: int
    warning: int
    remaining: int | None
    failed_uids: tuple[str, ...] = ()
    comment: str = ""

    @property
    def is_final(self) -> bool:
        return not status.is_pending(self.status)


class Keeper(Protocol):
    """Where the instances of a C-GET go."""

    def store(self, assoc: Association, message: Message) -> None: ...


def request(level: str, keys: Mapping[str, str]) -> list[ElementIn]:
    """Keys by keyword; values as PS3.4 C.2.2.2 has them, "" to have it answered, of a sequence all of it."""
    elements: dict[int, ElementIn] = {QUERY_RETRIEVE_LEVEL: (QUERY_RETRIEVE_LEVEL, "CS", level.encode())}
    if not all(text.isascii() for text in keys.values()):
        elements[SPECIFIC_CHARACTER_SET] = (SPECIFIC_CHARACTER_SET, "CS", _UNICODE.encode())
    for keyword, text in keys.items():
        tag = tag_of(keyword)
        if tag is None:
            raise InvalidValue(f"{keyword} is no keyword of PS3.6")
        elements[tag] = (tag, dictionary_vr(tag)[:2], encode(text, (_UNICODE,)))
    return [elements[tag] for tag in sorted(elements)]


def contexts(sop_class_uid: str, kinds: Mapping[str, Sequence[str]] | None = None) -> list[Proposal]:
    """To propose for a query or a retrieve; for C-GET also `kinds`: storage SOP class -> transfer syntaxes we take."""
    storage = list((kinds or {}).items())[:MOST_KINDS]
    return [(sop_class_uid, PLAIN), *storage]


def roles(kinds: Mapping[str, Sequence[str]]) -> dict[str, Role]:
    """PS3.4 C.5.3: who asks by C-GET is the provider of storage."""
    return dict.fromkeys(kinds, (False, True))


def find(
    assoc: Association, model: InformationModel, keys: Sequence[ElementIn], *, limit: int = 0
) -> Iterator[Identifier]:
    """Answers as they come; after `limit` of them the rest is cancelled. Raises DimseError."""
    return scu.find(assoc, FIND[model], keys, limit=limit)


def move(
    assoc: Association,
    model: InformationModel,
    keys: Sequence[ElementIn],
    *,
    destination: str,
    begun: Begun | None = None,
) -> Iterator[Progress]:
    """How it goes, the final response last, whatever its status; `begun` is given what can cancel it from another
    thread. Raises DimseError."""
    context = assoc.accepted_context(MOVE[model])
    identifier = encode_elements(keys, context.transfer_syntax)
    yield from _followed(assoc.c_move(context=context, destination=destination, identifier=identifier), context, begun)


def get(
    assoc: Association,
    model: InformationModel,
    keys: Sequence[ElementIn],
    keeper: Keeper,
    *,
    begun: Begun | None = None,
) -> Iterator[Progress]:
    """The same for what comes on this association; `keeper` answers each instance. Raises DimseError."""
    context = assoc.accepted_context(GET[model])
    identifier = encode_elements(keys, context.transfer_syntax)
    yield from _followed(assoc.c_get(context=context, identifier=identifier, on_store=keeper.store), context, begun)


def _followed(responses: Responses, context: Context, begun: Begun | None) -> Iterator[Progress]:
    if begun is not None:
        begun(responses)
    with closing(responses):
        for response in responses:
            yield _progress(response, context)


@dataclass(slots=True)
class IntoFolder:
    """Each instance a file, named by its SOP Instance UID, whole or not at all."""

    folder: Path
    kept: list[str] = field(default_factory=list)

    def store(self, assoc: Association, message: Message) -> None:
        uid = message.command.affected_sop_instance_uid
        if not is_uid(uid):  # it becomes a name
            assoc.respond(message, status.STORE_CANNOT_UNDERSTAND, error_comment="Not a UID")
            return
        try:
            part10.write_file(
                self.folder / f"{uid}.dcm",
                message.fragments(),
                sop_class_uid=message.command.affected_sop_class_uid,
                sop_instance_uid=uid,
                transfer_syntax_uid=message.context.transfer_syntax,
            )
        except OSError as error:
            assoc.respond(message, status.STORE_OUT_OF_RESOURCES, error_comment=error.strerror or "")
            return
        self.kept.append(uid)
        assoc.respond(message, status.SUCCESS)


@dataclass(slots=True)
class IntoArchive:
    """Each instance taken into our own archive, the way everything comes in; `provenance` says whom it is from."""

    provenance: Provenance
    kept: list[str] = field(default_factory=list)  # names in the spool, for `intake.wait_indexed`

    def store(self, assoc: Association, message: Message) -> None:
        command = message.command
        try:
            received = intake.receive(
                provenance=replace(self.provenance, association_id=assoc.id),
                sop_class_uid=command.affected_sop_class_uid,
                sop_instance_uid=command.affected_sop_instance_uid,
                transfer_syntax_uid=message.context.transfer_syntax,
                fragments=message.fragments(),
            )
        except Refused as refused:
            elements = refused.offending_elements
            assoc.respond(message, refused.status, error_comment=str(refused), offending_elements=elements)
            return
        self.kept.append(received.name)
        try:
            assoc.respond(message, status.SUCCESS)
        finally:
            intake.announce(received)


def _progress(response: Response, context: Context) -> Progress:
    command = response.command
    return Progress(
        status=response.status,
        completed=command.number_of_completed_suboperations or 0,
        failed=command.number_of_failed_suboperations or 0,
        warning=command.number_of_warning_suboperations or 0,
        remaining=command.number_of_remaining_suboperations,
        failed_uids=_failed_uids(response.data_set or b"", context),
        comment=command.error_comment,
    )


def _failed_uids(data_set: bytes, context: Context) -> tuple[str, ...]:
    """None where the list cannot be read: the counts say as much."""
    try:
        listed = read_identifier(data_set, context.transfer_syntax).text(FAILED_SOP_INSTANCE_UID_LIST)
    except InvalidDataSet:
        return ()
    return tuple(uid for uid in listed.split("\\") if uid)
