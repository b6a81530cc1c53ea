"""REST in the OpenAPI description: what every operation has in common."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from apps.accounts.http import ProblemRenderer
from apps.accounts.rest import JSON, LARGEST, MOST, PAGE

Schema = Mapping[str, Any]
Decorated = TypeVar("Decorated", bound=Callable[..., Any])

PROBLEM: Final[Schema] = {
    "type": "object",
    "description": "RFC 9457",
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "errors": {
            "type": "object",
            "description": "What is wrong, by the name of the field or the parameter",
            "additionalProperties": {"type": "string"},
        },
    },
    "required": ["title", "status"],
}
REASONS: Final = {
    400: "A value is wrong; `errors` names it",
    401: "Nobody is signed in",
    403: "Not allowed to this user",
    404: "There is no such row, or not for this user",
    406: "Not in this form",
    409: "It does not go together with what is there; `errors` names it",
    412: "It is not the version that If-Match names",
    413: f"More than {LARGEST >> 20} MiB",
    415: "Not a media type that is taken",
    422: "This Idempotency-Key was given to another request",
    429: "Too many wrong passwords; Retry-After says when it goes on",
    502: "The peer cannot be reached, or did not do it",
}
ASKED: Final = (400, 401, 403, 406, 429)
SENT: Final = (*ASKED, 409, 413, 415)

IDEMPOTENCY_KEY: Final = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="Sent again within 24 hours, the request is given the first answer, and is done once",
)
IF_MATCH: Final = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description='The version that was read: `"1.1.1.1"`'
)
LIMIT: Final = OpenApiParameter(
    "limit", {"type": "integer", "minimum": 1, "maximum": MOST, "default": PAGE}, description="Rows of a page"
)
AFTER: Final = OpenApiParameter("after", str, description="As `next` of the page before has it")


class BasicScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.accounts.authentication.BasicAuthentication"
    name = "basicAuth"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "basic"}


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.accounts.authentication.TokenAuthentication"
    name = "bearerAuth"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer"}


def reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def page_of(schema: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {
            "next": {"type": "string", "format": "uri", "nullable": True},
            "results": {"type": "array", "items": schema},
        },
        "required": ["next", "results"],
    }


def operation(
    summary: str,
    *,
    tag: str,
    gives: Mapping[str, Schema],
    takes: Mapping[str, Schema] | None = None,
    status: int = 200,
    others: Mapping[int, str] | None = None,
    statuses: Sequence[int] = ASKED,
    parameters: Sequence[OpenApiParameter] = (),
    examples: Sequence[OpenApiExample] = (),
    name: str | None = None,
) -> Callable[[Decorated], Decorated]:
    """`gives` and `takes`: schemas by media type; `others`: more statuses that go well, and what they say; `name`:
    where address and method do not make one that is unique."""
    responses: dict[Any, Any] = {}
    for code, text in {status: summary, **(others or {})}.items():
        for media_type, schema in gives.items():
            responses[code, media_type] = OpenApiResponse(dict(schema), description=text)
        if not gives:
            responses[code] = OpenApiResponse(description=text)
    for code in statuses:
        responses[code, ProblemRenderer.media_type] = OpenApiResponse(
            dict(reference("Problem")), description=REASONS[code]
        )
    return extend_schema(
        summary=summary,
        description=summary,  # or it would be the docstring of the view
        operation_id=name,
        tags=[tag],
        request={media_type: dict(schema) for media_type, schema in takes.items()} if takes else None,
        responses=responses,
        parameters=list(parameters),
        examples=list(examples),
    )


def example(name: str, value: Any, *, answer: bool = False, media_type: str = JSON) -> OpenApiExample:
    statuses = ["200", "201"] if answer else None  # not of errors
    return OpenApiExample(
        name, value, request_only=not answer, response_only=answer, media_type=media_type, status_codes=statuses
    )
