"""The Native DICOM Model (PS3.19 A.1), made from data sets in the DICOM JSON model: the values are the same."""

import re
from collections.abc import Iterator
from typing import Any, Final

from dicom.dicomjson import Json
from dicom.dictionary import keyword

_NAMESPACE: Final = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_HEAD: Final = f'<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel xmlns="{_NAMESPACE}" xml:space="preserve">'
_COMPONENTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")  # PS3.5 6.2.1.1
# XML 1.0, production 2: no other character may stand in a document, not even by its number.
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;"})
_REPLACEMENT: Final = "\ufffd"


def to_xml(dataset: Json) -> bytes:
    """A whole document."""
    return "".join((_HEAD, *_attributes(dataset), "</NativeDicomModel>")).encode()


def _attributes(dataset: Json) -> Iterator[str]:
    for tag, element in dataset.items():
        name = f' keyword="{known}"' if (known := keyword(int(tag, 16))) else ""
        yield f'<DicomAttribute tag="{tag}" vr="{element["vr"]}"{name}{_creator(tag, dataset)}>'
        yield from _content(element)
        yield "</DicomAttribute>"


def _creator(tag: str, dataset: Json) -> str:
    """Of a private element, from the element that has reserved its block (PS3.5 7.8.1)."""
    if not int(tag[3], 16) & 1 or tag[4:6] == "00":
        return ""
    names = dataset.get(f"{tag[:4]}00{tag[4:6]}", {}).get("Value", [])
    return f' privateCreator="{_text(names[0])}"' if names and isinstance(names[0], str) else ""


def _content(element: Json) -> Iterator[str]:
    if "BulkDataURI" in element:
        yield f'<BulkData uri="{_text(element["BulkDataURI"])}"/>'
    elif "InlineBinary" in element:
        yield f"<InlineBinary>{element['InlineBinary']}</InlineBinary>"
    for number, value in enumerate(element.get("Value", ()), 1):
        if element["vr"] == "SQ":
            yield f'<Item number="{number}">'
            yield from _attributes(value)
            yield "</Item>"
        elif isinstance(value, dict):
            yield f'<PersonName number="{number}">{"".join(_groups(value))}</PersonName>'
        elif value is not None:
            yield f'<Value number="{number}">{_text(value)}</Value>'


def _groups(name: dict[str, str]) -> Iterator[str]:
    for group, text in name.items():
        parts = zip(_COMPONENTS, text.split("^", len(_COMPONENTS) - 1), strict=False)
        yield f"<{group}>{''.join(f'<{part}>{_text(value)}</{part}>' for part, value in parts if value)}</{group}>"


def _text(value: Any) -> str:
    return _FORBIDDEN.sub(_REPLACEMENT, str(value)).translate(_ENTITIES)
