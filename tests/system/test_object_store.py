"""A bucket as a user has one: moto's S3 server on this machine, and the commands."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

pytestmark = [pytest.mark.system]
pytest.importorskip("s3fs")  # They are not in the group dev: botocore asks for an older dateutil.
pytest.importorskip("moto")

TINY = Path(__file__).parents[2] / "recipes/tiny/data"
CLEAN = ("corpus", "clean", "--lang", "de", "--rows-per-shard", "200", "--no-language-id")
# moto takes a body without a type for a form, and knows its user by the name alone.
SCOPE = "Credential=user/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
HEADERS = {
    "Content-Type": "application/octet-stream",
    "Authorization": f"AWS4-HMAC-SHA256 {SCOPE}",
}
_LOOK_SECONDS = 0.05


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the bucket `corpora`, in which two texts lie; it lets everybody in."""
    log = tmp_path_factory.mktemp("moto") / "log"
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", "0"]
    with log.open("wb") as stream:
        server = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:
        while "Running on http://" not in log.read_text():
            assert server.poll() is None, log.read_text()
            time.sleep(_LOOK_SECONDS)
        address = log.read_text().partition("Running on ")[2].split()[0]
        send(f"{address}/corpora", b"", "PUT")
        for lang in ("deu", "eng"):
            text = (TINY / f"lines.{lang}.txt").read_bytes()
            send(f"{address}/corpora/raw/lines.{lang}.txt", text, "PUT")
        yield address
    finally:
        server.kill()
        server.wait()


def send(url: str, body: bytes | None = None, method: str = "GET") -> bytes:
    with urlopen(Request(url, data=body, headers=HEADERS, method=method)) as answer:
        return answer.read()


def start(address: str, *command: str) -> "subprocess.Popen[str]":
    environment = os.environ | {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "user",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    command = (sys.executable, *command)
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def labse(address: str, *arguments: str) -> tuple[int, str]:
    running = start(address, "-m", "labse", *arguments)
    _, stderr = running.communicate()
    return running.returncode, stderr


def test_a_killed_run_into_a_bucket_ends_in_the_bytes_of_a_folder(
    address: str, tmp_path: Path
) -> None:
    # Killed as soon as something is there; given again.
    work = str(tmp_path / "work")
    raw, out = "s3://corpora/raw/lines.deu.txt", "s3://corpora/clean"
    killed = start(address, "-m", "labse", *CLEAN, raw, "--out", out, "--work", work)
    while b"<Key>" not in send(f"{address}/corpora?list-type=2&prefix=clean/shards/"):
        assert killed.poll() is None
        time.sleep(_LOOK_SECONDS)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert labse(address, *CLEAN, raw, "--out", out, "--work", work)[0] == 0

    # The same shards as those of a folder, and nothing else; the store tells their MD5.
    folder = tmp_path / "folder"
    assert labse(address, *CLEAN, str(TINY / "lines.deu.txt"), "--out", str(folder))[0] == 0
    sums = {
        path.relative_to(folder).as_posix(): hashlib.md5(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.parquet")
    }
    listed = send(f"{address}/corpora?list-type=2&prefix=clean/").decode()
    stored = dict(re.findall(r"<Key>clean/(\S+?)</Key>.*?<ETag>\W*?(?:quot;)?(\w{32})", listed))
    del stored["manifest.json"]
    parts = json.loads((tmp_path / "work/manifest.json").read_text())["parts"]
    names = {part["object"]: name for name, part in parts.items()}
    assert {names[name]: stored[name] for name in stored} == sums

    # Another text under the name is other work.
    send(f"{address}/corpora/raw/lines.deu.txt", b"Ein anderer Satz.\n", "PUT")
    code, told = labse(address, *CLEAN, raw, "--out", out, "--work", work)
    assert (code, told.count("\n")) == (2, 1)
    assert "was begun with another s3://corpora/raw/lines.deu.txt" in told


ERRORS = """
import sys
from urllib.request import Request, urlopen
from labse.cli import main

address, out = sys.argv[1:]
text = "s3://corpora/raw/lines.eng.txt"
codes = [
    main(["encode", text, "--out", out]),
    main(["encode", "s3://corpora/none.txt", "--out", out]),
    main(["encode", text, "--out", "s3://nobody/v.npy"]),
]
headers = {"Content-Type": "text/plain"}  # From now on nobody is let in.
urlopen(Request(f"{address}/moto-api/reset-auth", b"0", headers)).close()
codes += [main(["encode", text, "--out", "s3://corpora/v.npy"])]
sys.exit(f"{codes}")
"""


def test_what_is_wrong_with_a_bucket_is_one_line(address: str, tmp_path: Path) -> None:
    out = str(tmp_path / "v.npy")
    running = start(address, "-c", ERRORS, address, out)
    _, stderr = running.communicate()
    told = stderr.splitlines()
    assert told[0] == f"{out}: 500 rows of 384, 0 cut to 256 tokens"
    assert told[1] == "labse: error: s3://corpora/none.txt: no such object"
    assert told[2] == (
        "labse: error: s3://nobody/v.npy: cannot be written: there is no such bucket"
    )
    assert told[3].startswith("labse: error: s3://corpora/v.npy: the store gives no access (")
    assert told[4:] == ["[0, 3, 4, 4]"]
