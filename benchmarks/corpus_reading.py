"""Reading WET: ours against fastwarc alone, alternated in one run, and where the rest goes.

Use: python benchmarks/corpus_reading.py FOLDER [megabytes, default 50] [rounds, default 5]
FOLDER holds text files, one paragraph a line, that become the pages of an archive with one gzip
member a page, 4 kB each, as Common Crawl has them. Prints JSON: megabytes of text a CPU second
(medians) and their ratios.
"""

import gzip
import json
import platform
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

from fastwarc.warc import ArchiveIterator, WarcRecordType

from labse.corpus.raw_text import iter_lines
from labse.corpus.sentence_splitting import split_records
from labse.corpus.web_archives import read_wet

_PAGE_BYTES = 4_096


def build_pages(folder: Path, num_bytes: int) -> Iterator[str]:
    lines = [line for path in sorted(folder.glob("*.txt")) for line in path.open(encoding="utf-8")]
    page: list[str] = []
    size = 0
    for line in cycle(lines):
        page.append(line)
        size += len(line.encode())
        if size >= _PAGE_BYTES:
            yield "".join(page)
            num_bytes -= size
            page, size = [], 0
        if num_bytes <= 0:
            return


def write_archive(path: Path, pages: Iterator[str], *, is_packed: bool) -> int:
    num_bytes = 0
    with path.open("wb") as stream:
        for number, page in enumerate(pages):
            body = page.encode()
            num_bytes += len(body)
            head = (
                "WARC/1.0\r\nWARC-Type: conversion\r\n"
                f"WARC-Target-URI: https://example.org/{number}\r\n"
                "WARC-Date: 2026-01-01T00:00:00Z\r\n"
                f"WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-{number:012d}>\r\n"
                "WARC-Identified-Content-Language: eng\r\nContent-Type: text/plain\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            record = head.encode() + body + b"\r\n\r\n"
            stream.write(gzip.compress(record, 6) if is_packed else record)
    return num_bytes


def read_with_fastwarc(path: Path) -> int:
    with path.open("rb") as stream:
        records = ArchiveIterator(stream, WarcRecordType.conversion, parse_http=False)
        return sum(len(record.reader.read()) for record in records)


def read_documents(path: Path) -> int:
    return sum(len(document.text) for document in read_wet(path, drops=Counter()))


def read_lines(path: Path) -> int:
    return sum(len(line.text) for line in iter_lines(read_wet(path, drops=Counter())))


def read_sentences(path: Path) -> int:
    lines = iter_lines(read_wet(path, drops=Counter()))
    return sum(len(sentence.text) for sentence in split_records(lines))


def main() -> None:
    folder = Path(sys.argv[1])
    megabytes = float(sys.argv[2]) if len(sys.argv) > 2 else 50
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    sides: dict[str, Callable[[Path], int]] = {
        "fastwarc": read_with_fastwarc,
        "documents": read_documents,
        "lines": read_lines,
        "sentences": read_sentences,
    }
    results: dict[str, object] = {
        "python": platform.python_version(),
        "machine": platform.processor() or platform.machine(),
        "rounds": rounds,
    }
    with tempfile.TemporaryDirectory() as temporary:
        for name in ("a.wet.gz", "a.wet"):
            path = Path(temporary) / name
            pages = build_pages(folder, int(megabytes * 1e6))
            num_bytes = write_archive(path, pages, is_packed=name.endswith(".gz"))
            seconds: dict[str, list[float]] = {side: [] for side in sides}
            for _ in range(rounds):
                for side, read in sides.items():
                    start = time.process_time()
                    assert read(path)
                    seconds[side].append(time.process_time() - start)
            medians = {side: statistics.median(values) for side, values in seconds.items()}
            results[name] = {
                "megabytes": round(num_bytes / 1e6, 1),
                "megabytes_per_cpu_second": {
                    side: round(num_bytes / 1e6 / value, 1) for side, value in medians.items()
                },
                "times_fastwarc": {
                    side: round(value / medians["fastwarc"], 2) for side, value in medians.items()
                },
            }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
