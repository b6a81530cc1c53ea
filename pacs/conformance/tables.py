"""Tables of the statement about DIMSE: SOP classes, transfer syntaxes, attributes, statuses, parameters."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from django.conf import settings
from django.db.models import Field
from pydicom.datadict import dictionary_description
from pydicom.uid import UID

from apps.lookups import Kind
from apps.network.models import Listener, Peer
from apps.qr import attributes as query
from apps.worklist import attributes as worklist
from apps.worklist.query import STATUS
from dicom import mpps, pixels, sop_classes
from dicom.dimse import IMPLEMENTATION_CLASS_UID, CommandField
from dicom.elements import NATIVE
from dicom.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN, STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES, Service, sop_classes_of
from pacs.conformance.markdown import code, table
from pacs.conformance.services import GENERAL, Statuses
from pacs.listeners.policy import PLAIN_TRANSFER_SYNTAXES

__all__ = ["PARTS", "CommandField", "class_names", "name_of", "statuses"]

_MATCHING: Final[Mapping[Kind | None, str]] = {
    Kind.KEY: "single value, wildcard, list",
    Kind.TEXT: "single value, wildcard, list",
    Kind.VALUES: "any of its values: single value, wildcard, list",
    Kind.UID: "list of UIDs",
    Kind.NAME: "name: wildcard, without case and accents, all component groups",
    Kind.NAMES: "any of its names: wildcard, without case and accents, all component groups",
    Kind.ALPHABETIC_NAME: "name: wildcard, without case and accents",
    Kind.DATE: "single value, range",
    Kind.TIME: "single value, range",
    Kind.NUMBER: "single value",
    Kind.COUNT: "single value",
    None: "-",
}

# What pydicom's dictionary does not have yet.
_NEWER: Final = {
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression",
}


def _matching(attribute: query.Attribute | worklist.Attribute) -> str:
    if attribute.keyword == "RequestAttributesSequence":
        return "its items, see below"
    if attribute.tag == query.TIMEZONE_OFFSET_FROM_UTC:
        return "ignored"
    return _MATCHING[Kind.UID if attribute.vr == "UI" and attribute.kind else attribute.kind]


def name_of(uid: str) -> str:
    """Of a SOP class or transfer syntax, as PS3.6 has it, without what all of them end in."""
    return STORAGE_SOP_CLASSES.get(uid) or _NEWER.get(uid) or UID(uid).name.removesuffix(" SOP Class")


def class_names(service: Service) -> list[str]:
    if service is Service.STORE:
        return [f"{len(STORAGE_SOP_CLASSES)} storage SOP classes (last section), private ones"]
    return [name_of(uid) for uid in sop_classes_of(service)]


def statuses(known: Statuses) -> str:
    return table(("status", "when"), ((code(f"{number:04X}"), text) for number, text in sorted(known.items())))


def _tag(tag: int) -> str:
    return code(f"{tag >> 16:04X},{tag & 0xFFFF:04X}")


def _transfer_syntaxes() -> str:
    rows = []
    for uid in TRANSFER_SYNTAXES:
        if uid in NATIVE:
            kind, decoded = "native", "as it is"
        else:
            kind = "may be lossy" if sop_classes.is_lossy(uid) else "lossless"
            decoded = "yes" if pixels.can_decompress(uid, EXPLICIT_VR_LITTLE_ENDIAN) else "no: sent as stored only"
        rows.append((name_of(uid), code(uid), kind, decoded))
    return table(("transfer syntax", "UID", "pixels", "decoded for who does not take it"), rows)


def _plain_transfer_syntaxes() -> str:
    return table(("transfer syntax", "UID"), ((name_of(uid), code(uid)) for uid in PLAIN_TRANSFER_SYNTAXES))


def _storage_sop_classes() -> str:
    return table(("SOP class", "UID"), ((name, code(uid)) for uid, name in STORAGE_SOP_CLASSES.items()))


def _not_stored() -> str:
    return ", ".join(f"{name_of(uid)} ({code(uid)})" for uid in sorted(sop_classes.NOT_WITHOUT_PATIENT))


def _query_attributes() -> str:
    rows = []
    for attribute in sorted(query.ATTRIBUTES.values(), key=lambda one: one.level):
        rows.append(
            (
                attribute.level.name,
                dictionary_description(attribute.tag),
                _tag(attribute.tag),
                attribute.vr,
                attribute.usage.value,
                _matching(attribute),
            )
        )
    return table(("level", "attribute", "tag", "VR", "type of key", "matching"), rows)


def _request_keys() -> str:
    return ", ".join(f"{dictionary_description(tag)} {_tag(tag)}" for tag in query.REQUEST_KEYS)


def _worklist_attributes() -> str:
    rows = []
    for attribute in (*worklist.ATTRIBUTES.values(), STATUS):
        kind = "1" if attribute.required or attribute is STATUS else "2"
        rows.append(
            (
                attribute.level.value,
                dictionary_description(attribute.tag),
                _tag(attribute.tag),
                attribute.vr,
                kind,
                _matching(attribute),
            )
        )
    return table(("module", "attribute", "tag", "VR", "in answers", "matching"), rows)


def _mpps_rules() -> str:
    heads = ("attribute", "tag", "N-CREATE", "N-SET", "at the end")
    return table(heads, _rules(mpps.RULES, ""))


def _rules(rules: Iterable[mpps.Rule], indent: str) -> Iterable[Sequence[str]]:
    for rule in rules:
        settable = "-" if indent else ("yes" if rule.settable else "no")
        end = "-" if indent else str(rule.final or rule.create)
        yield f"{indent}{dictionary_description(rule.tag)}", _tag(rule.tag), str(rule.create), settable, end
        yield from _rules(rule.items, indent + "&gt; ")


def _parameters(model: type[Listener | Peer], hidden: frozenset[str]) -> str:
    rows = []
    for field in model._meta.get_fields():
        if isinstance(field, Field) and field.editable and field.name not in hidden:
            text = str(field.help_text) or "-"
            rows.append((str(field.verbose_name), _default(field), text))
    return table(("parameter", "default", "meaning"), rows)


def _default(field: "Field[Any, Any]") -> str:
    value = field.get_default()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value in (None, "") else code(value)


_HIDDEN: Final = frozenset({"id", "name", "enabled", "locked"})
PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "version": lambda: str(settings.VERSION),
    "implementation_class_uid": lambda: IMPLEMENTATION_CLASS_UID,
    "maximum_length": lambda: f"{Listener._meta.get_field('maximum_length').get_default():,}",
    "maximum_associations": lambda: str(Listener._meta.get_field("maximum_associations").get_default()),
    "transfer_syntaxes": _transfer_syntaxes,
    "plain_transfer_syntaxes": _plain_transfer_syntaxes,
    "storage_sop_classes": _storage_sop_classes,
    "not_stored": _not_stored,
    "query_attributes": _query_attributes,
    "request_keys": _request_keys,
    "worklist_attributes": _worklist_attributes,
    "mpps_rules": _mpps_rules,
    "general_statuses": lambda: statuses(GENERAL),
    "listener_parameters": lambda: _parameters(Listener, _HIDDEN),
    "peer_parameters": lambda: _parameters(Peer, _HIDDEN),
}
