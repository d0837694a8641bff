"""Gives small archives that stand for 10 GB to the commands: one line each, in bounded memory.

    python tests/faults/bombs.py --show                  every command and archive
    python tests/faults/bombs.py --only "web pages"

A command may take 1 GiB of address space beyond what it has at its start (as `ulimit -v` bounds
it), and 60 s of a processor. It must end with one line, exit code 2 or 3, and leave nothing; or
count a page that it leaves out as too large.
"""

import argparse
import bz2
import contextlib
import gzip
import importlib
import io
import json
import lzma
import os
import resource
import shutil
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import zstandard

sys.path.append(str(Path(__file__).parents[2]))
from tests.faults.kill import fork, wait_for, write_inputs

PART = b"a" * (16 << 20)
NUM_PARTS = 640
MAX_MEMORY = 1 << 30
MAX_CPU_SECONDS = 60
LIBRARIES = ("ctranslate2", "faiss", "fastwarc", "pyarrow.parquet", "torch")
TEXT = ("txt.gz", "txt.zst", "txt.bz2", "txt.xz", "txt.zip")
# {f} is the archive, {i} the folder of small inputs, {w} an empty one.
COMMANDS = {
    "encode": ("encode {f} --model {i}/model --out {w}/out", TEXT),
    "mine": ("mine {i}/a.txt {f} --model {i}/model --out {w}/out.tsv", TEXT),
    "align": ("align {f} {i}/a.txt --model {i}/model --out {w}/out.tsv", TEXT),
    "vocab": ("vocab {f} --lang de --out {w}/out", (*TEXT, "jsonl.zst")),
    "corpus split": ("corpus split {f} --out {w}/out.jsonl", (*TEXT, "xml.bz2", "srt.gz")),
    "corpus clean": ("corpus clean {f} --lang en --no-language-id --out {w}/out", TEXT),
    "corpus dedup": ("corpus dedup {f} --lang en --out {w}/out", ("txt.gz", "jsonl.zst")),
    "corpus convert": (
        "corpus convert {f} --out {w}/out.jsonl",
        ("tsv.zst", "jsonl.bz2", "tmx.gz", "po.gz", "xlf.zst"),
    ),
    "corpus stats": ("corpus stats {f}", ("tmx.zst", "tsv.bz2")),
    "corpus extract": (
        "corpus extract {f} --out {w}/out.jsonl",
        ("warc.gz", "wet.gz", "xml.bz2", "inner.warc"),
    ),
    "web pages": ("web pages {f} --out {w}/out", ("warc.gz", "inner.warc", "txt.gz")),
    "train": (
        'train {i}/train.toml --vocab {i}/vocab --out {w}/out --set data.pairs=["{f}"]',
        ("tsv.gz",),
    ),
    "index": ("index {f} --model {i}/model --out {w}/out", ("txt.zst", "jsonl.gz")),
    "score": ("score {i}/a.txt {f} --model {i}/model", ("txt.bz2",)),
}


def main() -> int:
    """Prints a line of JSON for each fault and one at the end; returns 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", action="append", choices=sorted(COMMANDS), help="may be repeated")
    parser.add_argument("--show", action="store_true", help="print each outcome")
    options = parser.parse_args()
    num_trials = num_faults = 0
    with tempfile.TemporaryDirectory(prefix="bombs-") as name:
        place = Path(name)
        if wait_for(fork(lambda: write_inputs(place / "inputs"), place / "log")):
            raise SystemExit((place / "log").read_text("utf-8"))
        # Libraries are larger than what a command may take beside them.
        for library in LIBRARIES:
            with contextlib.suppress(ImportError):
                importlib.import_module(library)
        for command in options.only or COMMANDS:
            line, kinds = COMMANDS[command]
            for kind in kinds:
                row = try_bomb(line, place / f"bomb.{kind}", place)
                num_trials, num_faults = num_trials + 1, num_faults + bool(row["faults"])
                if options.show or row["faults"]:
                    print(json.dumps({"command": command, "archive": kind, **row}), flush=True)
    print(json.dumps({"trials": num_trials, "faults": num_faults}))
    return int(bool(num_faults))


def try_bomb(line: str, archive: Path, place: Path) -> dict[str, object]:
    """Runs a command on an archive, which is written if it is not there; returns the outcome."""
    if not archive.exists():
        write_bomb(archive)
    work, log = place / "now", place / "now.log"
    shutil.rmtree(work, ignore_errors=True)
    log.unlink(missing_ok=True)
    work.mkdir()
    begun = time.monotonic()
    code = wait_for(fork(lambda: call(line, archive, place), log))

    told = log.read_text("utf-8", "replace")
    errors = [row for row in told.splitlines() if row.startswith("labse: error:")]
    is_left_out = not code and ("0 rows" in told or "larger than" in told)
    faults = [] if code in (2, 3) or is_left_out else [f"exit code {code}: {told[-600:]}"]
    if code and (len(errors) != 1 or "Traceback" in told):
        faults.append(told[-1500:])
    # An index keeps the rows before a broken one, and the same command goes on.
    if code and not line.startswith("index") and (left := [path.name for path in work.iterdir()]):
        faults.append(f"left: {left}")
    row = {"code": code, "seconds": round(time.monotonic() - begun, 1), "faults": faults}
    peak = place / "now.peak"
    return {"archive_bytes": archive.stat().st_size, "peak_mib": peak.read_text(), **row,
            "told": errors or told[-300:]}  # fmt: skip


def call(line: str, archive: Path, place: Path) -> int:
    """Is what a new process does."""
    from labse.cli import main as run_labse

    os.chdir(place / "now")
    os.environ |= {"OMP_NUM_THREADS": "1", "LABSE_CACHE": str(place / "cache")}
    words = {"{f}": str(archive), "{i}": str(place / "inputs"), "{w}": str(place / "now")}
    for name, path in words.items():
        line = line.replace(name, path)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bound = pages * resource.getpagesize() + MAX_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_SECONDS, MAX_CPU_SECONDS))
    code = run_labse(line.split())
    peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    (place / "now.peak").write_text(str(int(peak) >> 10))
    return code


# ---- Archives ----


def write_bomb(path: Path) -> None:
    """Writes an archive whose content is 10 GB without the end of a line, a tag or a page."""
    kind, _, packing = path.name.removeprefix("bomb.").rpartition(".")
    http = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
    if kind == "inner":  # The page is packed, not the archive.
        body = f"{http}Content-Encoding: gzip\r\n\r\n".encode() + b"".join(pack("gz", b"<p>"))
        path.write_bytes(warc_head("response", len(body)) + body + b"\r\n\r\n")
        return
    starts = {
        "warc": warc_head("response", 10 << 30) + f"{http}\r\n<html><body><p>".encode(),
        "wet": warc_head("conversion", 10 << 30),
        "tsv": b"source\ttarget\tsource_lang\ttarget_lang\n",
        "jsonl": b'{"text": "',
        "tmx": b'<tmx version="1.4"><body><tu><tuv xml:lang="de"><seg>',
        "xml": b"<mediawiki><page><title>a</title><ns>0</ns><revision><text>",
        "xlf": b'<xliff version="1.2"><file><body><trans-unit id="1"><source>',
        "srt": b"1\n00:00:01,000 --> 00:00:02,000\n",
        "po": b'msgid "',
    }
    with path.open("wb") as stream:
        for part in pack(packing, starts.get(kind, b"")):
            stream.write(part)


def warc_head(kind: str, num_bytes: int) -> bytes:
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: http://a.example/\r\n"
    head += "Content-Type: application/http; msgtype=response\r\n"
    return f"{head}Content-Length: {num_bytes}\r\n\r\n".encode()


def pack(packing: str, start: bytes) -> Iterator[bytes]:
    """Yields the parts of an archive of `start` and 10 GB."""
    if packing == "gz":  # One stream, of blocks that can be repeated; its sum is left wrong.
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        yield gzip.compress(b"")[:10]
        yield packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
        yield from [packer.compress(PART) + packer.flush(zlib.Z_FULL_FLUSH)] * NUM_PARTS
        yield packer.flush() + bytes(8)
    elif packing == "zst":
        frame = zstandard.ZstdCompressor().compressobj()
        yield frame.compress(start)
        yield from (frame.compress(PART) for _ in range(NUM_PARTS))
        yield frame.flush()
    else:
        compress = COMPRESS[packing]
        yield from [compress(start), *[compress(PART)] * NUM_PARTS]


def zip_one(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", content)
    return stream.getvalue()


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zip": zip_one,
}


if __name__ == "__main__":
    sys.exit(main())
