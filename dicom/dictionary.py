"""The data dictionary of PS3.6, as pydicom keeps it: VRs and keywords of standard elements.

Its table alone is read: importing pydicom as a whole costs every process 35 MB and a third of a second.
"""

from functools import lru_cache
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Final


def _table() -> ModuleType:
    package = find_spec("pydicom")
    if package is None or package.origin is None:
        raise ImportError("pydicom is not installed", name="pydicom")
    name = "_dicom_dict"
    spec = spec_from_loader(name, SourceFileLoader(name, str(Path(package.origin).with_name(f"{name}.py"))))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_module = _table()
# Tag -> VR, VM, name, "Retired" or nothing, keyword.
_STANDARD: Final[dict[int, tuple[str, str, str, str, str]]] = _module.DicomDictionary
_REPEATING: Final = [
    (int("".join("0" if c == "x" else "F" for c in mask), 16), int(mask.replace("x", "0"), 16), entry)
    for mask, entry in _module.RepeatersDictionary.items()
]
_TAGS: Final[dict[str, int]] = {entry[4]: tag for tag, entry in _STANDARD.items() if entry[4]}
del _module


@lru_cache(maxsize=8192)
def dictionary_vr(tag: int) -> str:
    """The VR of PS3.6, ambiguous ones as `US or SS`; UN for private and unknown elements (PS3.5 7.1.3, 7.8.1)."""
    number = tag & 0xFFFF
    if number == 0:
        return "UL"
    if tag >> 16 & 1:
        return "LO" if 0x10 <= number <= 0xFF else "UN"
    entry = _entry(tag)
    return entry[0] if entry and entry[0] != "NONE" else "UN"


def keyword(tag: int) -> str:
    """`PatientID`; "" for what has none."""
    entry = _entry(tag)
    return entry[4] if entry else ""


def keywords() -> dict[str, str]:
    """Tag in hexadecimal -> keyword, of all that have one; the digits of repeating groups that vary are `x`."""
    standard = {f"{tag:08X}": entry[4] for tag, entry in _STANDARD.items() if entry[4]}
    repeating = {
        "".join("x" if m == "0" else digit for m, digit in zip(f"{mask:08X}", f"{value:08X}", strict=True)): entry[4]
        for mask, value, entry in _REPEATING
        if entry[4]
    }
    return standard | repeating


def tag_of(keyword: str) -> int | None:
    """The tag of a keyword such as `PatientID`."""
    return _TAGS.get(keyword)


def _entry(tag: int) -> tuple[str, str, str, str, str] | None:
    entry = _STANDARD.get(tag)
    if entry is None:
        return next((found for mask, value, found in _REPEATING if tag & mask == value), None)
    return entry
