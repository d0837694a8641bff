"""What clients send, checked: the fields of each interface.

Takes: the bytes of a body. Gives: values of the right types, or an error that names the field.
Source: the OpenAI API reference (embeddings); TEI's openapi.json.
"""

from typing import Annotated, Literal, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labse.serving.answers import ApiError, describe_invalid
from labse.serving.state import state_of

__all__ = [
    "AlignBody",
    "CalibrateBody",
    "EmbedBody",
    "EmbeddingsBody",
    "MapBody",
    "MineBody",
    "ReviewBody",
    "ScoreBody",
    "SearchBody",
    "SimilarityBody",
    "SimilarityInputs",
    "TmxBody",
    "TokenizeBody",
    "check_count",
    "check_not_empty",
    "openapi_body",
    "receive_body",
]

_LARGE_BODY = 1 << 16

_BodyT = TypeVar("_BodyT", bound=BaseModel)
# Nobody sends more in one request; each route has its own limit below that.
_MAX_ITEMS = 200_000
# The first fault of a list ends the check: a million faults would take a gigabyte.
Texts = Annotated[list[str], Field(max_length=_MAX_ITEMS, fail_fast=True)]
Ids = Annotated[list[int], Field(max_length=_MAX_ITEMS, fail_fast=True)]
Pairs = Annotated[list[tuple[str, str]], Field(max_length=_MAX_ITEMS, fail_fast=True)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class EmbeddingsBody(_Body):
    """`POST /v1/embeddings`."""

    input: str | Texts | Ids | Annotated[list[Ids], Field(max_length=_MAX_ITEMS, fail_fast=True)]
    model: str
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = None
    user: str | None = None


class EmbedBody(_Body):
    """`POST /embed` of TEI."""

    inputs: str | Texts
    normalize: bool | None = True
    truncate: bool | None = False
    truncation_direction: Literal["Left", "Right", "left", "right"] | None = None
    prompt_name: str | None = None
    dimensions: int | None = None


class SimilarityInputs(_Body):
    """A text, and those that it is compared with."""

    source_sentence: str
    sentences: Texts


class SimilarityBody(_Body):
    """`POST /similarity` of TEI."""

    inputs: SimilarityInputs
    parameters: dict[str, str | bool | None] | None = None


class TokenizeBody(_Body):
    """`POST /tokenize` of TEI."""

    inputs: str | Texts
    add_special_tokens: bool = True
    prompt_name: str | None = None


class SearchBody(_Body):
    """`POST /search`: the nearest rows of a store."""

    store: str
    query: str | Texts
    k: int = Field(default=10, ge=1, le=1000)
    lang: str | None = None
    where: str | None = None


class MapBody(_Body):
    """`POST /map`: rows of a store as points of a plane."""

    store: str
    count: int = Field(default=500, ge=3, le=5000)


class MineBody(_Body):
    """`POST /mine`: which of two lists translate each other."""

    source: Texts
    target: Texts
    k: int = Field(default=4, ge=1, le=100)
    margin: Literal["ratio", "distance", "absolute"] = "ratio"
    min_score: float | None = None
    retrieval: Literal["forward", "backward", "intersect", "max"] = "intersect"
    stream: bool = False


class AlignBody(_Body):
    """`POST /align`: two documents, line by line."""

    source: Texts
    target: Texts
    max_size: int = Field(default=4, ge=2, le=8)


class ScoreBody(_Body):
    """`POST /score`: line i of one list against line i of the other."""

    source: Texts
    target: Texts
    k: int = Field(default=4, ge=1, le=100)
    margin: Literal["ratio", "distance", "absolute"] | None = "ratio"


class ReviewBody(_Body):
    """`POST /review`: in which order pairs of these scores are rated."""

    scores: Annotated[list[float], Field(min_length=1, max_length=_MAX_ITEMS, fail_fast=True)]
    seed: int = Field(default=1, ge=0, le=2**31)


class CalibrateBody(_Body):
    """`POST /calibrate`: the bound that ratings suggest."""

    scores: Annotated[list[float], Field(max_length=10_000, fail_fast=True)]
    labels: Annotated[
        list[Literal["GOOD", "BAD", "SKIP"]], Field(max_length=10_000, fail_fast=True)
    ]
    precision: float = Field(default=0.8, gt=0, lt=1)


class TmxBody(_Body):
    """`POST /tmx`: pairs as a translation memory."""

    pairs: Pairs
    source_lang: str
    target_lang: str


def _parse(raw: bytes, kind: type[_BodyT], *, status: int = 422) -> _BodyT:
    """Parses and checks a body.

    Raises:
        ApiError: it is no JSON, or not of this shape.
    """
    try:
        return kind.model_validate_json(raw or b"null")
    except ValidationError as error:
        raise ApiError(status, describe_invalid(error)) from None


async def receive_body(request: Request, kind: type[_BodyT], *, status: int = 422) -> _BodyT:
    """Reads the body of a request; a large one is parsed outside the event loop."""
    raw = await request.body()
    if len(raw) <= _LARGE_BODY:
        return _parse(raw, kind, status=status)
    return await state_of(request).service.in_thread(_parse, raw, kind, status=status)


def check_count(name: str, count: int, limit: int, *, status: int = 413) -> None:
    """Refuses more than a route takes.

    Raises:
        ApiError: it says how many there may be.
    """
    if count > limit:
        raise ApiError(
            status, f"{name} has {count:,} entries, at most {limit:,} go into one request"
        )


def check_not_empty(name: str, texts: list[str], *, status: int = 422) -> None:
    """Refuses no text, and an empty one: the interfaces of others do so too.

    Raises:
        ApiError: it says which.
    """
    if not texts:
        raise ApiError(status, f"{name} is empty; give at least one text")
    if "" in texts:
        row = texts.index("")
        raise ApiError(status, f"{name}.{row}: the text is empty; leave it out")


def openapi_body(kind: type[BaseModel]) -> dict[str, object]:
    """Returns what a route says of its body in the OpenAPI page."""
    schema = kind.model_json_schema()
    definitions = schema.pop("$defs", {})
    for place in list(schema.get("properties", {}).values()):
        if name := place.get("$ref", "").rpartition("/")[2]:
            place.pop("$ref")
            place.update(definitions[name])
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"content": content, "required": True}}
