"""How a picture is asked for: the query parameters of PS3.18 8.3.5 and, for WADO-URI, of 9.4, checked."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from dicom.errors import InvalidValue
from dicom.presentation import LINEAR, LINEAR_EXACT, SIGMOID, Window

RENDERER: Final = 1  # goes up when pictures come out otherwise than before
QUALITY: Final = 90
LARGEST_SIDE: Final = 8192
_DECIMAL = re.compile(r"[+-]?(\d{1,20}(\.\d{0,20})?|\.\d{1,20})([eE][+-]?\d{1,3})?", re.ASCII)
_WHOLE = re.compile(r"\d{1,9}", re.ASCII)
_FUNCTIONS: Final = {"linear": LINEAR, "linear-exact": LINEAR_EXACT, "sigmoid": SIGMOID}


@dataclass(frozen=True, slots=True)
class Look:
    """`viewport` as `dicom.pictures.Viewport` has it; empty: as large as the image is."""

    window: Window | None = None
    viewport: Mapping[str, Any] = field(default_factory=dict)
    quality: int = QUALITY

    def arguments(self) -> dict[str, Any]:
        """Of the job that makes pictures."""
        window = self.window
        return {
            "window": None if window is None else [window.center, window.width, window.function],
            "viewport": dict(self.viewport) or None,
            "quality": self.quality,
        }


def key(*parts: Any) -> str:
    """Short, of all that a picture depends on beside its object."""
    text = json.dumps([RENDERER, *(asdict(part) if isinstance(part, Look) else part for part in parts)])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def of_rs(parameters: Mapping[str, str]) -> Look:
    """PS3.18 8.3.5.1: `window`, `viewport`, `quality`. Raises InvalidValue, which names the parameter."""
    return Look(
        window=_window(parameters["window"]) if "window" in parameters else None,
        viewport=viewport(parameters["viewport"]) if "viewport" in parameters else {},
        quality=quality("quality", parameters.get("quality", str(QUALITY))),
    )


def of_uri(parameters: Mapping[str, str]) -> Look:
    """PS3.18 9.4: `windowCenter`, `windowWidth`, `rows`, `columns`, `region`, `imageQuality`. Raises InvalidValue."""
    window = None
    if "windowCenter" in parameters or "windowWidth" in parameters:
        center = _decimal("windowCenter", parameters.get("windowCenter", ""))
        width = _decimal("windowWidth", parameters.get("windowWidth", ""))
        window = _valid("windowWidth", Window(center, width))
    port: dict[str, Any] = {}
    for name, side in (("columns", "width"), ("rows", "height")):
        if name in parameters:
            port[side] = _side(name, parameters[name])
    if "region" in parameters:
        port |= {"region": _relative(parameters["region"]), "relative": True}
    return Look(window, port, quality("imageQuality", parameters.get("imageQuality", str(QUALITY))))


def _window(text: str) -> Window:
    parts = text.split(",")
    function = _FUNCTIONS.get(parts[-1].strip().lower().replace("_", "-"))
    if len(parts) != 3 or function is None:
        raise InvalidValue(f"window: center,width,function, the function one of {', '.join(_FUNCTIONS)}")
    return _valid("window", Window(_decimal("window", parts[0]), _decimal("window", parts[1]), function))


def _valid(name: str, window: Window) -> Window:
    if not window.is_valid:
        least = "at least 1" if window.function == LINEAR else "above 0"
        raise InvalidValue(f"{name}: the width of a window is {least}")
    return window


def viewport(text: str, largest: int = LARGEST_SIDE) -> dict[str, Any]:
    """PS3.18 8.3.5.1.3: `vw,vh[,sx,sy,sw,sh]`, where what is left out after the second is as large as the image."""
    parts = [part.strip() for part in text.split(",")]
    if not 2 <= len(parts) <= 6:
        raise InvalidValue("viewport: width,height, or width,height,x,y,width,height")
    region = [_decimal("viewport", part) if part else None for part in parts[2:]] + [None] * (6 - len(parts))
    x, y, width, height = region
    if (x or 0) < 0 or (y or 0) < 0 or width == 0 or height == 0:
        raise InvalidValue("viewport: the region begins inside of the image and is not empty")
    size = {"width": _side("viewport", parts[0], largest), "height": _side("viewport", parts[1], largest)}
    return size | ({"region": region} if any(part is not None for part in region) else {})


def quality(name: str, text: str) -> int:
    if not _WHOLE.fullmatch(text) or not 1 <= int(text) <= 100:
        raise InvalidValue(f"{name}: from 1 to 100")
    return int(text)


def _side(name: str, text: str, largest: int = LARGEST_SIDE) -> int:
    if not _WHOLE.fullmatch(text) or not 1 <= int(text) <= largest:
        raise InvalidValue(f"{name}: from 1 to {largest} pixels")
    return int(text)


def _relative(text: str) -> list[float]:
    """PS3.18 9.4.1.2.3: left, top, right and bottom between 0 and 1, as x, y, width, height."""
    parts = [_decimal("region", part) for part in text.split(",")]
    if len(parts) != 4 or not (0 <= parts[0] < parts[2] <= 1 and 0 <= parts[1] < parts[3] <= 1):
        raise InvalidValue("region: left,top,right,bottom, from 0 to 1")
    left, top, right, bottom = parts
    return [left, top, right - left, bottom - top]


def _decimal(name: str, text: str) -> float:
    if not _DECIMAL.fullmatch(text.strip()) or not math.isfinite(number := float(text)):
        raise InvalidValue(f"{name}: {'a number is missing' if not text.strip() else 'this is no number'}")
    return number
