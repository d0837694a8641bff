"""A small file that stands for gigabytes ends with one line, in bounded memory."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

MEMORY = 1 << 30


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    # Not the peak of getrusage, which counts what the process of the tests had when it forked.
    code = (
        "import sys; from pathlib import Path; from labse.cli import main;"
        "code = main(sys.argv[1:]);"
        "status = Path('/proc/self/status').read_text();"
        "peak = int(status.partition('VmHWM:')[2].split()[0]) * 1024;"
        f"raise SystemExit(99 if peak > {MEMORY} else code)"
    )
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def zeros(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One line of 2 GiB, as 64 KiB of zstd."""
    path = tmp_path_factory.mktemp("bomb") / "zeros.txt.zst"
    frame = zstandard.ZstdCompressor().compressobj()
    with path.open("wb") as stream:
        for _ in range(128):
            stream.write(frame.compress(b"a" * (16 << 20)))
        stream.write(frame.flush())
    assert path.stat().st_size < 1 << 20
    (path.parent / "one.txt").write_text("a\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ["encode", "zeros.txt.zst", "--out", "vectors"],
        ["mine", "zeros.txt.zst", "one.txt"],
        ["corpus", "split", "zeros.txt.zst"],
        ["vocab", "zeros.txt.zst", "--lang", "de", "--out", "vocab"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_a_line_of_gigabytes_is_refused(zeros: Path, arguments: list[str]) -> None:
    done = run(arguments, zeros.parent)
    assert done.returncode == 3, done.stderr
    assert "zeros.txt.zst, line 1: longer than 16 MiB" in done.stderr


def test_the_bound_on_a_line_is_an_option(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("kurz\n" + "lang " * 600_000 + "\nkurz\n", encoding="utf-8")
    assert run(["encode", "long.txt", "--out", "a"], tmp_path).returncode == 0
    done = run(["--max-line", "1M", "encode", "long.txt", "--out", "b"], tmp_path)
    assert done.returncode == 3
    assert "long.txt, line 2: longer than 1 MiB" in done.stderr


def test_a_tag_without_an_end_is_refused(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "memory.tmx.gz", "wb", compresslevel=1) as stream:
        stream.write(b'<?xml version="1.0"?><tmx version="1.4"><body><!-- ')
        for _ in range(64):
            stream.write(b" " * (1 << 20))
    done = run(["corpus", "stats", "memory.tmx.gz"], tmp_path)
    assert done.returncode == 3, done.stderr
    assert "16 MiB without the end of a tag" in done.stderr
