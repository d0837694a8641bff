import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import typer

import labse
from labse.cli import app, main
from labse.errors import InterruptedRunError, LabseError, ResourceError, UsageError

Run = Callable[..., Any]


@pytest.fixture
def failing_command(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """Adds the command `fail`, which raises what the list holds; it is gone after the test."""
    errors: list[BaseException] = []

    def fail() -> NoReturn:
        raise errors[0]

    # The group imports the module that a command names.
    fail.__module__ = "failing"
    monkeypatch.setitem(sys.modules, "failing", SimpleNamespace(fail=fail))
    command = typer.models.CommandInfo("fail", callback=fail)
    monkeypatch.setattr(app, "registered_commands", [*app.registered_commands, command])
    return errors


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UsageError("both --a and --b"), 2, "both --a and --b"),
        (LabseError("a.tsv, line 3:\n bad"), 3, "a.tsv, line 3: bad"),
        (ResourceError("no disk"), 4, "no disk"),
        (InterruptedRunError("stopped at step 3"), 5, "stopped at step 3"),
        (MemoryError(), 4, "out of memory; give less data at a time"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (SystemExit(143), 143, "terminated"),
        (UsageError("--lang \x1b[31m\x9b: none"), 2, r"--lang \x1b[31m\x9b: none"),
        (UsageError("a" * 9000 + ": none"), 2, "a" * 500 + " ... " + "a" * 244 + ": none"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "x"), 4, "x: Disk quota exceeded"),
        (OSError(errno.EIO, "Input/output error"), 4, "the system says: Input/output error"),
        (PermissionError(errno.EACCES, "Permission denied", "m/x"), 4, "m/x: Permission denied"),
        (FileExistsError(errno.EEXIST, "File exists", "run"), 4, "run: File exists"),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(
    failing_command: list[BaseException],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    message: str,
) -> None:
    failing_command.append(error)
    assert main(["fail"]) == code
    captured = capsys.readouterr()
    assert captured.err == f"labse: error: {message}\n"
    assert captured.out == ""


def test_an_error_of_the_program_itself_is_not_hidden(
    failing_command: list[BaseException],
) -> None:
    failing_command.append(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        main(["fail"])


def test_a_pipe_whose_reader_left_is_no_error(
    failing_command: list[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing_command.append(BrokenPipeError(errno.EPIPE, "Broken pipe"))
    # typer puts wrappers in place of both streams.
    with open(os.devnull, "w") as null:
        monkeypatch.setattr(sys, "stdout", null)
        monkeypatch.setattr(sys, "stderr", sys.stderr)
        assert main(["fail"]) == 141
        monkeypatch.undo()
    assert capsys.readouterr().err == ""


def test_output_that_is_buffered_to_the_end_fails_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["--version"]) == 141
        monkeypatch.undo()
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line_and_code_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["--version"]) == 4
        monkeypatch.undo()
    assert "No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mne"], "No such command 'mne'. Did you mean 'mine'?; see labse --help"),
        (["mine"], "Missing argument 'SOURCE'; see labse mine --help"),
        (["evaluate"], "Missing command; see labse evaluate --help"),
    ],
)
def test_a_wrong_use_is_one_line_that_names_the_help(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"labse: error: {message}\n"


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"labse {labse.__version__}\n"


def test_no_arguments_print_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    without = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == without
    assert "mine" in without


def test_a_closed_standard_output_is_one_line_and_code_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["--version"]) == 4
    assert capsys.readouterr().err == "labse: error: standard output is closed\n"


def test_messages_do_not_go_among_the_data_where_standard_error_is_closed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["mne"]) == 2
    sys.stderr.close()
    assert capsys.readouterr().out == ""


def test_quiet_tells_nothing_but_data_and_errors(run: Run, model: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("free\n")
    command = ("mine", tmp_path / "a", tmp_path / "b", "--model", model, "--k", 1)
    loud, silent = run(*command), run("--quiet", *command)
    assert (silent.code, silent.out, silent.err) == (0, loud.out, "")
    assert "1 pairs" in loud.err
    assert run("-q", "mine", tmp_path / "a", tmp_path / "a").err.startswith("labse: error: ")
    assert "1 pairs" in run(*command).err


def test_verbose_tells_where_and_the_traceback_of_an_error(run: Run, tmp_path: Path) -> None:
    ran = run("--verbose", "info", tmp_path / "none")
    assert ran.code != 0
    assert "Traceback" in ran.err
    assert "Traceback" not in run("info", tmp_path / "none").err
    assert run("-v", "-q", "info", tmp_path).code == 2
