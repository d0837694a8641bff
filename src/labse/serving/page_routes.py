"""The page for people: its files, and the languages of the model from its card.

Takes: requests of a browser. Gives: HTML, CSS and JavaScript from the package; nothing is loaded
from elsewhere.
"""

import re
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from labse.serving.answers import ApiError, json_response
from labse.serving.state import state_of

__all__ = ["read_languages", "router"]

router = APIRouter()

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_FILES = {
    path.name: path for path in Path(__file__).with_name("page").iterdir() if path.suffix in _TYPES
}
_FRESH = {"cache-control": "no-cache"}
_SEPARATOR = re.compile(r"\|?[\s:|-]+\|?")


@router.get("/", include_in_schema=False)
async def show_page() -> Response:
    """Returns the page."""
    return _send("index.html")


@router.get("/page/{name}", include_in_schema=False)
async def show_file(name: str) -> Response:
    """Returns a file of the page."""
    return _send(name)


@router.get("/card")
async def show_card(request: Request) -> Response:
    """Lists the languages that the card of the model names, with scores and a verdict."""
    folder = state_of(request).service.encoder.folder
    card = None if folder is None else folder / "README.md"
    text = card.read_text(encoding="utf-8") if card and card.is_file() else ""
    return json_response({"languages": read_languages(text)})


def _send(name: str) -> Response:
    path = _FILES.get(name)
    if path is None:
        raise ApiError(404, "there is no such file of the page")
    kind = f"{_TYPES[path.suffix]}; charset=utf-8"
    return Response(path.read_bytes(), media_type=kind, headers=_FRESH)


def read_languages(card: str) -> list[dict[str, object]]:
    """Returns the rows of the table whose first column is `language` and whose last is a verdict.

    Each is a `language`, its `scores` by the name of their column, and a `verdict` such as `good`.
    """
    rows: list[dict[str, object]] = []
    columns: list[str] = []
    for line in card.splitlines():
        if not line.startswith("|"):
            columns = []
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if cells[0] == "language":
            columns = cells
        elif len(cells) == len(columns) > 1 and not _SEPARATOR.fullmatch(line):
            scores = {name: cell for name, cell in zip(columns, cells, strict=True) if cell}
            rows.append(
                {
                    "language": scores.pop("language", ""),
                    "verdict": scores.pop(columns[-1], ""),
                    "scores": scores,
                }
            )
    return rows
