"""The OpenAPI description at `/api/schema/`: what TABLE 2 has of DICOMweb, as PS3.18 10 describes it; REST describes
itself beside its views."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings

from apps.accounts.describing import PROBLEM
from apps.commitment.api import description as commitment
from apps.jobs.api import description as jobs
from apps.mpps.api import description as mpps
from apps.network.api import description as network
from apps.qr.api import description as remote
from apps.qr.attributes import ATTRIBUTES, Level
from apps.routing.api import description as routing
from apps.worklist.api import schemas as worklist

Json = dict[str, Any]

_TEXT: Final[Json] = {"type": "string"}
_BYTES: Final[Json] = {"type": "string", "format": "binary"}
_DATA_SETS: Final[Json] = {"type": "array", "items": {"type": "object"}}
_UID: Final = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)*$", "maxLength": 64}
_MULTIPART_DICOM: Final = 'multipart/related; type="application/dicom"'
_MULTIPART_XML: Final = 'multipart/related; type="application/dicom+xml"'
_PROBLEM: Final = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_REASONS: Final = {
    304: "As it was",
    400: "A value is wrong",
    401: "Nobody is signed in",
    403: "Not allowed to this user",
    404: "There is nothing of this UID, or not for this user",
    406: "Not in this form; the title says in which there is",
    408: "The body came too slowly",
    409: "None was stored",
    410: "It was deleted",
    413: "Too large",
    415: "Not a media type that can be stored",
    416: "The range lies outside",
    429: "Too many wrong passwords; Retry-After says when it goes on",
    503: "Not now; Retry-After says when",
    507: "No space is left",
}
_ASKED: Final = (400, 401, 403, 406, 429)
_FOUND: Final = (304, *_ASKED, 404, 410)
_UP_TO: Final = {"study": Level.STUDY, "series": Level.SERIES, "instance": Level.IMAGE}
# Levels of an address, and the address of each.
_LEVELS: Final = {
    "study": "/studies/{study}",
    "series": "/studies/{study}/series/{series}",
    "instance": "/studies/{study}/series/{series}/instances/{instance}",
}
_FRAMES: Final = f"{_LEVELS['instance']}/frames/{{frames}}"


@dataclass(frozen=True, slots=True)
class Operation:
    """`gives`: schemas by media type; `takes`: those of the body, for POST."""

    summary: str
    gives: Mapping[str, Json]
    statuses: tuple[int, ...] = _FOUND
    parameters: tuple[Json, ...] = ()
    takes: Mapping[str, Json] | None = None
    success: Mapping[int, str] | None = None


def _query(name: str, description: str, schema: Json = _TEXT, **more: Any) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema, **more}


_ACCEPT: Final = _query("accept", "Replaces the Accept header (PS3.18 8.3.3.1)")
_PICTURE: Final = (
    _ACCEPT,
    _query("window", "center,width,function: `40,400,linear`", example="40,400,linear"),
    _query("viewport", "Width and height in pixels, then the part of the image: `512,512,0,0,256,256`"),
    _query("quality", "Of a lossy picture, 1 to 100", {"type": "integer", "minimum": 1, "maximum": 100}),
)


# Attributes that a search matches.
KEYS: Final = {one.keyword: one for one in ATTRIBUTES.values() if one.kind is not None}


def _search(level: str) -> Operation:
    numbers = {"type": "integer", "minimum": 0}
    keys = [
        _query(attribute.keyword, f"({attribute.tag >> 16:04X},{attribute.tag & 0xFFFF:04X}) {attribute.vr}")
        for attribute in KEYS.values()
        if attribute.level <= _UP_TO[level]
    ]
    return Operation(
        f"Search for {level}{'' if level == 'series' else 's'}".replace("studys", "studies"),
        {"application/dicom+json": _DATA_SETS, _MULTIPART_XML: _TEXT},
        (*_ASKED, 413),
        (
            _query("limit", "Most answers", numbers),
            _query("offset", "Answers to skip", numbers),
            _query("includefield", "More attributes: keywords, tags, `all`; separated by commas"),
            _query("fuzzymatching", "Of names", {"type": "string", "enum": ["true", "false"]}),
            _ACCEPT,
            *keys,
        ),
    )


_STORED: Final = {"application/dicom+json": {"type": "object"}, "application/dicom+xml": _TEXT}
_STORE: Final = Operation(
    "Store instances",
    _STORED,
    (400, 401, 403, 406, 408, 409, 413, 415, 429, 503, 507),
    takes={"multipart/related": _BYTES, "application/dicom": _BYTES, "application/dicom+json": _DATA_SETS},
    success={200: "All are stored", 202: "Some are stored, or with warnings"},
)
_DELETE: Final = Operation(
    "Delete, restorable from the recycle area until it is emptied",
    {},
    (400, 401, 403, 404, 410, 429),
    success={204: "Deleted"},
)
_RENDERED: Final = {"image/jpeg": _BYTES, "image/png": _BYTES, "image/gif": _BYTES, "application/pdf": _BYTES}
_WHOLE: Final = {_MULTIPART_DICOM: _BYTES, "application/zip": _BYTES}
# PS3.18 9.4: an instance by query parameters alone
WADO_URI: Final = Operation(
    "Retrieve an instance, as a file or a picture, by WADO-URI",
    {**_RENDERED, "application/dicom": _BYTES},
    parameters=(
        _query("requestType", "Always WADO", {"type": "string", "enum": ["WADO"]}, required=True),
        *(_query(name, "UID", _UID, required=True) for name in ("studyUID", "seriesUID", "objectUID")),
        _query("contentType", "Media type of the answer; a JPEG picture unless it is said"),
        _query("transferSyntax", "Of application/dicom", _UID),
        _query("frameNumber", "From 1 on", {"type": "integer", "minimum": 1}),
        _query("rows", "Most pixels downwards", {"type": "integer", "minimum": 1}),
        _query("columns", "Most pixels across", {"type": "integer", "minimum": 1}),
        _query("region", "Of the image, from 0 to 1: left, top, right, bottom", example="0.25,0.25,0.75,0.75"),
        _query("windowCenter", "With windowWidth", {"type": "number"}),
        _query("windowWidth", "With windowCenter", {"type": "number"}),
        _query("imageQuality", "1 to 100", {"type": "integer", "minimum": 1, "maximum": 100}),
    ),
)
_SEARCHES: Final = {
    "/studies": "study",
    "/series": "series",
    "/instances": "instance",
    f"{_LEVELS['study']}/series": "series",
    f"{_LEVELS['study']}/instances": "instance",
    f"{_LEVELS['series']}/instances": "instance",
}


def operations() -> Iterable[tuple[str, str, Operation]]:
    """Address below DICOMweb's, method, what it is."""
    for address, level in _SEARCHES.items():
        yield address, "get", _search(level)
    for address in ("/studies", _LEVELS["study"]):
        yield address, "post", _STORE
    for level, address in _LEVELS.items():
        yield from _retrieves(level, address)
        yield address, "delete", _DELETE
    value = {
        "application/octet-stream": _BYTES,
        "application/pdf": _BYTES,
        'multipart/related; type="application/octet-stream"': _BYTES,
    }
    partial = (*_FOUND, 416)
    yield f"{_LEVELS['instance']}/bulkdata/{{way}}", "get", Operation("Retrieve one value", value, partial, (_ACCEPT,))
    frames = {'multipart/related; type="application/octet-stream"': _BYTES, "image/*": _BYTES}
    yield _FRAMES, "get", Operation("Retrieve frames", frames, parameters=(_ACCEPT,))
    yield f"{_FRAMES}/rendered", "get", Operation("Retrieve frames as pictures", _RENDERED, parameters=_PICTURE)
    yield f"{_FRAMES}/thumbnail", "get", Operation("Retrieve a small picture", _RENDERED, parameters=_PICTURE)


def _retrieves(level: str, address: str) -> Iterable[tuple[str, str, Operation]]:
    whole = {**_WHOLE, "application/dicom": _BYTES} if level == "instance" else _WHOLE
    statuses = (*_FOUND, 416) if level == "instance" else _FOUND
    yield address, "get", Operation(f"Retrieve the {level}", whole, statuses, (_ACCEPT,))
    metadata = {"application/dicom+json": _DATA_SETS, _MULTIPART_XML: _TEXT}
    yield f"{address}/metadata", "get", Operation(f"Retrieve the metadata of the {level}", metadata, _FOUND, (_ACCEPT,))
    pictures = Operation(f"Retrieve the {level} as pictures", _RENDERED, parameters=_PICTURE)
    yield f"{address}/rendered", "get", pictures
    small = Operation(f"Retrieve a small picture of the {level}", _RENDERED, parameters=_PICTURE)
    yield f"{address}/thumbnail", "get", small
    values = {'multipart/related; type="application/octet-stream"': _BYTES}
    yield (
        f"{address}/bulkdata",
        "get",
        Operation(f"Retrieve all large values of the {level}", values, _FOUND, (_ACCEPT,)),
    )


def _described(address: str, method: str, operation: Operation) -> Json:
    parts = [part[1:-1] for part in address.split("/") if part.startswith("{")]
    content = {media_type: {"schema": schema} for media_type, schema in operation.gives.items()}
    success = operation.success or {200: "Found"}
    responses: Json = {str(status): {"description": text, "content": content} for status, text in success.items()}
    for status in operation.statuses:
        responses[str(status)] = {"description": _REASONS[status]} | ({} if status == 304 else {"content": _PROBLEM})
    described: Json = {
        "operationId": f"{method} {address}",
        "summary": operation.summary,
        "tags": ["DICOMweb"],
        "parameters": [*map(_part, parts), *operation.parameters],
        "responses": responses,
        "security": [{"basicAuth": []}, {"bearerAuth": []}, {"cookieAuth": []}],
    }
    if operation.takes:
        content = {media_type: {"schema": schema} for media_type, schema in operation.takes.items()}
        described["requestBody"] = {"required": True, "content": content}
    return described


_PARTS: Final[Mapping[str, tuple[str, Json]]] = {
    "frames": ("Numbers from 1, separated by commas", {"type": "string", "pattern": r"^[0-9]+(,[0-9]+)*$"}),
    "way": ("As a Bulk Data URI has it: a tag, after tags of sequences and numbers of items", _TEXT),
}


def _part(name: str) -> Json:
    description, schema = _PARTS.get(name, (f"{name.capitalize()} UID", _UID))
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def add_dicomweb(result: Json, **_: Any) -> Json:
    """A postprocessing hook of drf-spectacular."""
    paths = result.setdefault("paths", {})
    for address, method, operation in operations():
        paths.setdefault(settings.DICOMWEB + address, {})[method] = _described(address, method, operation)
    paths["/wado"] = {"get": _described("/wado", "get", WADO_URI)}
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = PROBLEM
    components.setdefault("securitySchemes", {}).update(
        {
            "basicAuth": {"type": "http", "scheme": "basic"},
            "bearerAuth": {"type": "http", "scheme": "bearer"},
            "cookieAuth": {"type": "apiKey", "in": "cookie", "name": "sessionid"},
        }
    )
    return result


def add_schemas(result: Json, **_: Any) -> Json:
    """Another: what the operations of TABLE 5 refer to."""
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    every = (jobs, network, remote, worklist, commitment, mpps, routing)
    for described in every:
        schemas.update(described.SCHEMAS)
    return result
