"""The page for people: its files, and the languages of the model.

Takes: requests of a browser. Gives: HTML, CSS and JavaScript from the package; nothing is loaded
from elsewhere.
"""

from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from labse.model_folder.languages import read_languages
from labse.serving.answers import ApiError, json_response
from labse.serving.state import state_of

__all__ = ["router"]

router = APIRouter()

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_FILES = {
    path.name: path for path in Path(__file__).with_name("page").iterdir() if path.suffix in _TYPES
}
_FRESH = {"cache-control": "no-cache"}


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
    """Lists the languages of the model, with scores in percent and a verdict."""
    folder = state_of(request).service.encoder.folder
    rows = () if folder is None else read_languages(folder)
    languages = [
        {
            "language": row.name,
            "verdict": row.verdict,
            "scores": {name: f"{100 * score:.1f}" for name, score in row.scores.items()},
        }
        for row in rows
    ]
    return json_response({"languages": languages})


def _send(name: str) -> Response:
    path = _FILES.get(name)
    if path is None:
        raise ApiError(404, "there is no such file of the page")
    kind = f"{_TYPES[path.suffix]}; charset=utf-8"
    return Response(path.read_bytes(), media_type=kind, headers=_FRESH)
