"""Pairs of two lists: `/mine`, `/align`, `/score`, and `/tmx`, which writes them as a file.

Takes: two lists of lines. Gives: pairs, beads or scores; with `stream`, lines of JSON that tell how
much is done before they give the result.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Sequence

import numpy as np
import orjson
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from starlette.responses import Response, StreamingResponse

from labse.alignment.align import align_documents
from labse.corpus.tmx_writer import write_tmx_rows
from labse.errors import LabseError
from labse.mining.bitext import MiningOptions
from labse.serving.answers import ApiError, json_response
from labse.serving.bodies import (
    AlignBody,
    MineBody,
    ScoreBody,
    TmxBody,
    check_count,
    openapi_body,
    receive_body,
)
from labse.serving.pairs import Lines, mine_lines, score_lines
from labse.serving.state import ServerState, state_of

__all__ = ["router"]

router = APIRouter()
_PROGRESS_SECONDS = 0.2


@router.post("/mine", openapi_extra=openapi_body(MineBody))
async def mine(request: Request) -> Response:
    """Finds the lines of two lists that translate each other, best first."""
    state = state_of(request)
    body = await receive_body(request, MineBody)
    _check_lines(state, body.source, body.target)
    if not body.stream:
        return json_response(await _mine(state, body, [0, 0]))

    # Tell what is done while it is being done; the status has been sent by then.
    async def lines() -> AsyncIterator[bytes]:
        done = [0, 0]
        total = len(body.source) + len(body.target)
        mining = asyncio.ensure_future(_mine(state, body, done))
        try:
            while not mining.done():
                yield orjson.dumps({"done": sum(done), "total": total}) + b"\n"
                await asyncio.wait((mining,), timeout=_PROGRESS_SECONDS)
            try:
                yield orjson.dumps({"result": mining.result()}) + b"\n"
            except (ApiError, LabseError) as error:
                yield orjson.dumps({"error": str(error)}) + b"\n"
        finally:
            mining.cancel()

    return StreamingResponse(lines(), media_type="application/x-ndjson")


async def _mine(state: ServerState, body: MineBody, done: list[int]) -> dict[str, object]:
    source, num_source_cut = await _embed_lines(state, body.source, done, 0)
    target, num_target_cut = await _embed_lines(state, body.target, done, 1)
    options = MiningOptions(body.k, body.margin, body.min_score, body.retrieval)
    mined = await state.service.in_job(mine_lines, source, target, options)
    return mined | {"truncated": num_source_cut + num_target_cut}


@router.post("/score", openapi_extra=openapi_body(ScoreBody))
async def score(request: Request) -> Response:
    """Scores line i of one list against line i of the other."""
    state = state_of(request)
    body = await receive_body(request, ScoreBody)
    _check_lines(state, body.source, body.target)
    if len(body.source) != len(body.target):
        raise ApiError(
            422,
            f"source has {len(body.source):,} lines and target {len(body.target):,}; line i of one "
            "must be the translation of line i of the other",
        )
    source, num_source_cut = await _embed_lines(state, body.source, [0, 0], 0)
    target, num_target_cut = await _embed_lines(state, body.target, [0, 0], 1)
    cosines, margins = await state.service.in_job(score_lines, source, target, body.margin, body.k)
    content = {"cosines": cosines, "truncated": num_source_cut + num_target_cut}
    return json_response(content if margins is None else content | {"margin_scores": margins})


@router.post("/align", openapi_extra=openapi_body(AlignBody))
async def align(request: Request) -> Response:
    """Aligns two documents: each line of both stands in one bead, m lines to n."""
    state = state_of(request)
    body = await receive_body(request, AlignBody)
    _check_lines(state, body.source, body.target)
    encoder = _BatchedEncoder(state, asyncio.get_running_loop())
    try:
        beads = await state.service.in_job(
            align_documents, encoder, body.source, body.target, max_size=body.max_size
        )
    finally:
        encoder.cancel()
    rows = [
        {
            "score": round(bead.score, 4),
            "source": body.source[bead.source_start : bead.source_stop],
            "target": body.target[bead.target_start : bead.target_stop],
            "source_start": bead.source_start,
            "target_start": bead.target_start,
        }
        for bead in beads
    ]
    return json_response({"beads": rows, "truncated": encoder.num_truncated})


@router.post("/tmx", openapi_extra=openapi_body(TmxBody))
async def tmx(request: Request) -> Response:
    """Returns pairs as a translation memory (TMX 1.4)."""
    body = await receive_body(request, TmxBody)
    columns = ("source", "target", "source_lang", "target_lang")

    def write() -> bytes:
        stream = io.BytesIO()
        langs = body.source_lang, body.target_lang
        write_tmx_rows(stream, columns, ((*pair, *langs) for pair in body.pairs))
        return stream.getvalue()

    content = await state_of(request).service.in_thread(write)
    headers = {"content-disposition": 'attachment; filename="pairs.tmx"'}
    return Response(content, media_type="application/x-tmx+xml", headers=headers)


def _check_lines(state: ServerState, source: Sequence[str], target: Sequence[str]) -> None:
    for name, lines in (("source", source), ("target", target)):
        check_count(name, len(lines), state.options.max_lines)
        if not any(line.strip() for line in lines):
            raise ApiError(422, f"{name}: no line has text in it")


async def _embed_lines(
    state: ServerState, sentences: list[str], done: list[int], side: int
) -> tuple[Lines, int]:
    """Embeds a side and keeps count in `done`; returns it and the lines that were cut."""

    def count(num_done: int) -> None:
        done[side] = num_done

    embedded = await state.service.embed(
        sentences, seconds=state.options.job_seconds, on_done=count
    )
    has_text = np.array([bool(sentence.strip()) for sentence in sentences])
    lines = Lines(sentences, embedded.embeddings, embedded.is_known & has_text)
    return lines, embedded.num_truncated


class _BatchedEncoder:
    """What a function in a thread embeds with: the shared batches, until it is cancelled."""

    def __init__(self, state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        self._state, self._loop = state, loop
        self._is_cancelled = False
        self.num_truncated = 0

    def cancel(self) -> None:
        self._is_cancelled = True

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        if self._is_cancelled:
            raise ApiError(503, "the client has gone")
        seconds = self._state.options.job_seconds
        embedding = self._state.service.embed(list(sentences), seconds=seconds)
        embedded = asyncio.run_coroutine_threadsafe(embedding, self._loop).result()
        self.num_truncated += embedded.num_truncated
        return embedded.embeddings
