"""Answers: JSON of vectors, and one shape of error for each interface.

Takes: what a route returns or raises. Gives: responses. Source: the error objects of OpenAI
(`{"error": {"message", "type", "code"}}`) and of TEI (`{"error", "error_type"}`).
"""

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.responses import Response

__all__ = ["ApiError", "describe_invalid", "error_response", "json_response"]

_OPENAI_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
_TEI_TYPES = {401: "unauthorized", 413: "validation", 422: "validation", 429: "overloaded"}
_SHOWN_CHARACTERS = 300
_WANTED = "Input should be "
_SENTENCES = {
    "extra_forbidden": "there is no such field",
    "missing": "this field is missing",
    "model_type": "send a JSON object",
}


class ApiError(Exception):
    """A request that is refused: status, and a sentence for whoever reads it."""

    def __init__(
        self, status: int, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Keeps what is answered."""
        super().__init__(message)
        self.status, self.message, self.headers = status, message, dict(headers or {})


def json_response(
    content: Any,  # noqa: ANN401 - what JSON holds
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Returns JSON; arrays of float32 are written with the digits that float32 needs."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, headers, "application/json")


def error_response(path: str, error: ApiError) -> Response:
    """Returns the error in the shape of the interface that the path belongs to."""
    if path.startswith("/v1/"):
        is_server = error.status >= 500
        kind = _OPENAI_TYPES.get(
            error.status, "server_error" if is_server else "invalid_request_error"
        )
        code = "model_not_found" if error.status == 404 and "model" in error.message else None
        detail = {"message": error.message, "type": kind, "param": None, "code": code}
        content: dict[str, object] = {"error": detail}
    else:
        kind = _TEI_TYPES.get(error.status, "backend" if error.status >= 500 else "request")
        content = {"error": error.message, "error_type": kind}
    return json_response(content, status=error.status, headers=error.headers)


def describe_invalid(error: ValidationError) -> str:
    """Returns what is wrong with a body as one sentence, without repeating the body."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    # Of the branches of a union, the one that the body came furthest in.
    fault = max(faults, key=lambda one: (one["type"] == "too_long", len(one["loc"])))
    place = ".".join(str(part) for part in fault["loc"] if not _is_branch(part))
    message = _SENTENCES.get(fault["type"], fault["msg"].removeprefix("Value error, "))
    if message.startswith(_WANTED) and len(fault["loc"]) == 2 and _is_branch(fault["loc"][1]):
        wanted = [one["msg"].removeprefix(_WANTED) for one in faults if len(one["loc"]) == 2]
        message = _WANTED + " or ".join(dict.fromkeys(wanted))
    text = f"{place}: {message}" if place else message
    return text[:_SHOWN_CHARACTERS]


def _is_branch(part: int | str) -> bool:
    """Says whether a part of a place names the branch of a union and not a key of the body."""
    return isinstance(part, str) and ("[" in part or part in ("str", "constrained-str"))
