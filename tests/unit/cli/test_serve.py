"""The command `labse serve`: what is wrong is told before a model is loaded."""

import socket
from pathlib import Path

import pytest

from labse.cli import main


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--stores", "missing"], 2, "--stores missing: no such folder"),
        (["--store", "texts"], 2, "give NAME=ADDRESS"),
        (["--store", "texts=folder"], 2, "for stores in a folder there is --stores"),
        (["--max-body", "1"], 2, "give at least 1M"),
        (["--max-wait", "0"], 2, "max_wait_seconds is 0"),
        (["--api-key-file", "keys.txt"], 2, "keys.txt: a key is shorter than 16 characters"),
        (["--host", "203.0.113.7"], 4, "cannot listen on 203.0.113.7, port 8080"),
        (["--model", "missing", "--port", "8097"], 3, "missing"),
    ],
)
def test_a_wrong_option_is_one_line(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("keys.txt").write_text("short\n")
    assert main(["serve", *arguments]) == code
    told = capsys.readouterr().err.splitlines()
    assert message in told[-1]
    assert told[-1].startswith("labse: error: ")


def test_a_port_that_is_taken_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 4
    assert f"port {port}: Address already in use" in capsys.readouterr().err
