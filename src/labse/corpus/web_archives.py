"""Web archives in: WET, the text of pages, and WARC, the pages themselves.

Takes: `.wet` and `.warc` files, plain or `.gz`, as Common Crawl gives them.
Gives: a document a page, in the order of the file; each page left out has a reason and a count.
Source: ISO 28500 (WARC 1.1); https://commoncrawl.org/get-started; fastwarc reads, resiliparse finds
    the main text of a page. Names inside an archive are text: nothing is written by them.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from labse.corpus.html_text import extract_main_text
from labse.corpus.languages import canonical_tag
from labse.corpus.records import UNKNOWN_LANG, Document
from labse.errors import LabseError, ResourceError, UsageError
from labse.files.objects import local_file
from labse.files.text import read_chunks
from labse.runtime import require

if TYPE_CHECKING:
    from fastwarc.stream_io import WarcReader
    from fastwarc.warc import WarcRecord

__all__ = [
    "CUT_SHORT",
    "MAX_PAGE_BYTES",
    "TOO_LARGE",
    "Capture",
    "iter_captures",
    "plan_slices",
    "read_warc",
    "read_wet",
]

MAX_PAGE_BYTES = 16 << 20  # Of a page; Common Crawl cuts pages at 5 MiB (1 MiB until 2025).
TOO_LARGE = "larger than 16 MiB"
CUT_SHORT = "archive damaged or cut short"
NOT_200 = "HTTP status other than 200"
"""Reasons for which pages are left out."""
_REDIRECTS = (301, 302, 303, 307, 308)
_HTTP_RECORD = (
    b"WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http; msgtype=response\r\n"
    b"Content-Length: %d\r\n\r\n"
)
_HTML_TYPES = ("text/html", "application/xhtml+xml")
_MAX_HEADER_BYTES = 32 << 10  # That of fastwarc.
_GZIP_MAGIC = b"\x1f\x8b"
_ALL_TYPES = ("warcinfo", "request", "response", "resource", "conversion", "revisit", "metadata")


def read_wet(
    path: str | Path, *, lang: str | None = None, drops: Counter[str]
) -> Iterator[Document]:
    """Yields the text of each page of a WET file.

    Args:
        path: the file.
        lang: the language of all pages, None: that which the archive names first, else `und`.
        drops: counts pages that are left out, by reason.

    Raises:
        LabseError: no such file, no archive, damaged or cut short; what came before is whole.
        ResourceError: fastwarc is not installed.
        UsageError: unknown language, or standard input.
    """
    tag = lang and canonical_tag(lang)
    origin = Path(path).name
    for record in _iter_records(path, ("conversion",)):
        if record.content_length > MAX_PAGE_BYTES:
            drops[TOO_LARGE] += 1
            continue
        headers = record.headers
        body = _read_whole(path, record)
        try:
            text = body.decode().removeprefix("\ufeff")
        except UnicodeDecodeError:
            drops["not UTF-8"] += 1
            continue
        identified = headers.get("WARC-Identified-Content-Language")
        found = tag or (_first_lang(identified) if identified else UNKNOWN_LANG)
        yield Document(text, found, _name(record), origin)


def read_warc(
    path: str | Path, *, lang: str | None = None, drops: Counter[str]
) -> Iterator[Document]:
    """Yields the main text of each HTML page of a WARC file.

    Args:
        path: the file.
        lang: the language of all pages, None: that which the page declares, else `und`.
        drops: counts pages that are left out, by reason.

    Raises:
        LabseError, UsageError: see `read_wet`.
        ResourceError: fastwarc or resiliparse is not installed.
    """
    tag = lang and canonical_tag(lang)
    origin = Path(path).name
    for record in _iter_records(path, ("response", "resource")):
        html = _read_page(path, record)
        if isinstance(html, str) or html.location:
            drops[html if isinstance(html, str) else NOT_200] += 1
            continue
        page = extract_main_text(html.payload, charset=html.charset)
        if page.problem:
            drops[page.problem] += 1
            continue
        found = tag or (_first_lang(page.declared_lang) if page.declared_lang else UNKNOWN_LANG)
        yield Document(page.text, found, _name(record), origin)


@dataclass(frozen=True, slots=True)
class Capture:
    """A page as it was fetched.

    Attributes:
        url: its address.
        date: when, as `2026-11-29T00:00:00Z`; empty if the archive does not tell.
        payload: its HTML; None for WET, which has text alone.
        text: the text of WET.
        charset: the encoding that HTTP names.
        link: the header `Link` of HTTP, or empty.
        content_language: the header `Content-Language` of HTTP, or empty.
        location: the address that this one redirects to; there is no text then.
    """

    url: str
    date: str
    payload: bytes | None
    text: str = ""
    charset: str | None = None
    link: str = ""
    content_language: str = ""
    location: str = ""


def plan_slices(path: str | Path, num_records: int) -> tuple[list[tuple[int, int | None]], str]:
    """Cuts an archive into slices of so many records, to be read on their own.

    An archive in one gzip member, which no crawler writes, is one slice.

    Returns:
        Where each slice begins and ends (None: at the end), and what is wrong with the archive:
        empty, or that it is damaged or cut short, where what comes before is whole.

    Raises:
        LabseError, UsageError: there is no such file, or it is no archive.
    """
    starts: list[int] = [0]
    previous, problem, is_one_member = -1, "", False
    try:
        for number, record in enumerate(_iter_records(path, _ALL_TYPES)):
            is_one_member |= record.stream_pos == previous
            previous = record.stream_pos
            if number and number % num_records == 0:
                starts.append(previous)
    except LabseError as error:
        if previous < 0 or isinstance(error, UsageError | ResourceError):
            raise
        problem = str(error)
    if is_one_member:
        return [(0, None)], problem
    return list(zip(starts, [*starts[1:], None], strict=True)), problem


def iter_captures(
    path: str | Path, *, start: int = 0, stop: int | None = None, drops: Counter[str]
) -> Iterator[Capture]:
    """Yields the pages of a WARC or WET file, or of a slice of it, with what came with them.

    Redirects are among them.

    Args:
        path: the file.
        start: the byte on disk at which a record begins.
        stop: the byte before which the last record begins, None: the end of the file.
        drops: counts pages that are left out, by reason; an archive that is damaged or cut short
            ends there and counts once.

    Raises:
        LabseError, UsageError: there is no such file, or it is no archive.
        ResourceError: fastwarc is not installed.
    """
    warc = require("fastwarc.warc", "corpus")
    wanted = [getattr(warc.WarcRecordType, name) for name in ("response", "resource", "conversion")]
    with local_file(path).open("rb") as stream:
        stream.seek(start)
        try:
            for record in warc.ArchiveIterator(stream, parse_http=False):
                if stop is not None and record.stream_pos >= stop:
                    return
                if record.record_type not in wanted:
                    continue
                capture = _read_capture(path, record)
                if isinstance(capture, str):
                    drops[capture] += 1
                else:
                    yield capture
        except (OSError, LabseError):
            drops[CUT_SHORT] += 1


def _read_capture(path: str | Path, record: "WarcRecord") -> Capture | str:
    """Returns the page of a record, or why there is none."""
    headers = record.headers
    url, date = _name(record).replace(" ", "%20"), headers.get("WARC-Date") or ""
    if not url.startswith(("http://", "https://")):
        return "not an address of the web"
    if (headers.get("Content-Type") or "").lower().startswith("text/plain"):
        if record.content_length > MAX_PAGE_BYTES:
            return TOO_LARGE
        body = _read_whole(path, record)
        return Capture(url, date, None, body.decode("utf-8", "replace").removeprefix("\ufeff"))
    html = _read_page(path, record)
    if isinstance(html, str):
        return html
    return Capture(
        url, date, html.payload, "", html.charset, html.link, html.content_language, html.location
    )


@dataclass(frozen=True, slots=True)
class _Html:
    payload: bytes
    charset: str | None
    link: str = ""
    content_language: str = ""
    location: str = ""


def _read_page(path: str | Path, record: "WarcRecord") -> "_Html | str":
    """Returns the HTML of a record, or why there is none."""
    if record.content_length > MAX_PAGE_BYTES:
        return TOO_LARGE
    content_type = record.headers.get("Content-Type") or ""
    body = _read_whole(path, record)
    if not content_type.startswith("application/http"):
        is_html = content_type.lower().startswith(_HTML_TYPES)
        return _Html(body, None) if is_html else "not HTML"
    try:
        # A record of its own: an error in HTTP must not end the reading of the archive.
        http = type(record).from_bytes(_HTTP_RECORD % len(body) + body)
        http.parse_http(auto_decode="transfer", strict_mode=False)
        found = {name.lower(): value for name, value in http.http_headers.astuples()}
        status = http.http_headers.status_code
        if status in _REDIRECTS and found.get("location"):
            return _Html(b"", None, location=found["location"])
        if status != 200:
            return NOT_200
        if not (http.http_content_type or "").lower().startswith(_HTML_TYPES):
            return "not HTML"
        # Unpacked as it is read: fastwarc's own decoding unpacks all, 10 GB of 10 MB too.
        payload = _unpack(http.reader, found.get("content-encoding", "")).read(MAX_PAGE_BYTES + 1)
    except (OSError, ValueError, AttributeError):
        return "HTTP that cannot be decoded"
    if len(payload) > MAX_PAGE_BYTES:
        return TOO_LARGE
    return _Html(
        payload, http.http_charset, found.get("link", ""), found.get("content-language", "")
    )


def _unpack(reader: "WarcReader", encodings: str) -> "WarcReader":
    """Returns a reader of what a body holds; of an encoding that is not known, the body itself."""
    streams = require("fastwarc.stream_io", "corpus")
    for encoding in reversed(encodings.lower().split(",")):
        name = encoding.strip()
        if name in ("gzip", "x-gzip"):
            reader = streams.GzipReader(reader)
        elif name == "deflate":
            reader = streams.GzipReader(reader, zlib=True)
        elif name in ("br", "zstd"):
            kind = streams.BrotliReader if name == "br" else streams.ZstdReader
            reader = kind(reader)
    return reader


def _iter_records(path: str | Path, types: tuple[str, ...]) -> Iterator["WarcRecord"]:
    if str(path) == "-":
        raise UsageError("an archive is a file, not standard input (-)")
    if not local_file(path).is_file():
        problem = "a folder, not a file" if Path(path).is_dir() else "no such file"
        raise LabseError(f"{path}: {problem}")
    with local_file(path).open("rb") as stream:
        magic = stream.read(4)
    if magic and not magic.startswith((_GZIP_MAGIC, b"WARC")):
        raise LabseError(f"{path}: no WARC, begins with {magic!r}; archives are plain or .gz")
    warc = require("fastwarc.warc", "corpus")
    wanted = [getattr(warc.WarcRecordType, name) for name in types]
    position, num_bytes = None, 0
    with local_file(path).open("rb") as stream:
        try:
            for record in warc.ArchiveIterator(stream, parse_http=False):
                position, num_bytes = record.stream_pos, record.content_length
                if record.record_type in wanted:
                    yield record
        except OSError as error:
            raise LabseError(
                f"{path}: no WARC, damaged or cut short after byte {position or 0} ({error}); "
                "fetch it again"
            ) from None
    _check_end(path, position, num_bytes)


def _read_whole(path: str | Path, record: "WarcRecord") -> bytes:
    try:
        body: bytes = record.reader.read()
    except OSError as error:  # Of fastwarc, without a file: an output that is open is not meant.
        raise LabseError(
            f"{path}: damaged in the record at byte {record.stream_pos} ({error}); fetch it again"
        ) from None
    if len(body) < record.content_length:
        raise LabseError(
            f"{path}: cut short in the record at byte {record.stream_pos}; fetch it again"
        )
    return body


def _check_end(path: str | Path, position: int | None, num_bytes: int) -> None:
    """Raises LabseError if the archive stops inside the last record, at `position`, or after it.

    fastwarc 2.0 takes a gzip member without its end for the end of the file, and a record without
    its end for a short one. Of a whole archive in one member, which no crawler writes, all is read
    again.
    """
    with local_file(path).open("rb") as stream:
        is_gzip = stream.read(2) == _GZIP_MAGIC
        stream.seek(position or 0)
        header = stream.read(_MAX_HEADER_BYTES)
        if not is_gzip:
            end = 0 if position is None else position + header.find(b"\r\n\r\n") + 4 + num_bytes
            size = local_file(path).stat().st_size
            stream.seek(min(end, size))  # A record may state any length.
            if end > size or stream.read(_MAX_HEADER_BYTES).strip(b"\r\n"):
                raise LabseError(
                    f"{path}: cut short in or after the record at byte {position or 0}; "
                    "fetch it again"
                )
    if is_gzip or Path(path).suffix == ".gz":
        is_member = header.startswith(_GZIP_MAGIC)
        for _ in read_chunks(path, start=position or 0 if is_member else 0):
            pass


def _name(record: "WarcRecord") -> str:
    headers = record.headers
    name: str = headers.get("WARC-Target-URI") or headers.get("WARC-Record-ID") or ""
    # wget writes <...>, against the standard.
    return " ".join(name.strip("<>").split())


@lru_cache(maxsize=4096)
def _first_lang(codes: str) -> str:
    """Returns the tag of the first of the codes, `und` if labse does not know it."""
    first = re.split(r"[,;\s]", codes.strip(), maxsplit=1)[0]
    try:
        return canonical_tag(first)
    except UsageError:
        return UNKNOWN_LANG
