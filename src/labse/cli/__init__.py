"""The command line: a command parses, makes one library call and prints.

Takes: arguments. Gives: data on standard output, everything else on standard error, an exit code.
Source: docs/design.md, exit codes. The group imports a command's module when that command is asked
for, so `labse --help` loads neither torch nor NumPy.
"""

import contextlib
import errno
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from labse import __version__
from labse.cli.console import fail, is_verbose, parse_size, set_verbosity, show_log_messages
from labse.cli.lazy import LazyGroup, add_rows
from labse.errors import LabseError, ResourceError, UsageError, is_panic
from labse.runtime import answer_signals

__all__ = ["app", "main"]

_INTERRUPTED = 130  # 128 + SIGINT, as shells count.
_CLOSED_PIPE = 141  # 128 + SIGPIPE
_TERMINATED = 143  # 128 + SIGTERM
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# In the order of the pipeline.
_COMMANDS = (
    ("corpus", "corpus", "Raw web text and bitext to clean sentences tagged with their language."),
    ("vocab", "vocab", "Learn a word-piece vocabulary shared by all languages."),
    ("pretrain", "pretrain",
     "Pre-train a BERT on text and on pairs of translations (needs the extra train)."),
    ("hard-negatives", "hard_negatives",
     "Add to pairs the sentences that are hard to tell from their translations."),
    ("train", "train",
     "Train a dual encoder on pairs of translations (needs the extra train)."),
    ("plot", "plot",
     "Draw loss, P@1, accuracy and perplexity over the steps (needs the extra plot)."),
    ("encode", "encode", "Turn lines into vectors that numpy.load reads."),
    ("export", "export", "Write a model anew: smaller, for sentence-transformers, or as ONNX."),
    ("prune", "prune", "Make a model smaller: leave out the pieces that some text never needs."),
    ("verify", "verify",
     "Check vectors: the hash of each file, shapes, rows, finite values, length 1."),
    ("evaluate", "evaluate", "Score a model on public test sets, each score with its signature."),
    ("compare", "compare",
     "Tell which of two systems is better, and whether that is more than chance."),
    ("mine", "mine", "Find the lines of two files that translate each other, best first."),
    ("score", "score",
     "Score the pairs of two line-aligned files or of a table: cosine and margin for each."),
    ("filter", "filter",
     "Drop the pairs that are no translations, and tell which bound dropped them."),
    ("cds", "cds",
     "Learn from trusted pairs which of a pool to keep (contrastive data selection)."),
    ("rate", "rate",
     "Rate mined pairs with two keys: g for GOOD, b for BAD (s skips, u undoes, q quits)."),
    ("calibrate", "calibrate",
     "Find the min_score for a wanted precision or the best F1, from rated or gold pairs."),
    ("align", "align",
     "Align two documents line by line, m to n: each line of both stands in one bead."),
    ("serve", "serve",
     "Serve vectors to programs, as OpenAI and TEI do, and a page to people."),
    ("index", "index", "Keep texts with their vectors in an index, which labse search asks."),
    ("search", "search",
     "Find the rows of an index that are nearest to a sentence, in any language."),
    ("web", "web", "From web pages to bitext, with the addresses that each pair comes from."),
    ("languages", "languages",
     "List the languages of a model: pairs trained on, scores in tests, and whether it serves."),
    ("info", "info",
     "Tell what a folder is, what it was made from, and whether its files are unchanged."),
    ("cluster", "cluster", "Look at the nodes of a Ray cluster before work is sent to them."),
    ("doctor", "doctor",
     "Look at what this machine has for encoding: processor, threads, model, disk, locale."),
)  # fmt: skip

app = typer.Typer(
    name="labse",
    cls=LazyGroup,
    help="Train sentence embeddings that find translations, and use them.",
    epilog="Exit codes: 0 done, 2 wrong use, 3 bad input data, 4 no memory, disk or package, "
    "5 stopped and the same command goes on. --verbose and --quiet stand before the command.",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)
add_rows(app, _COMMANDS)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"labse {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Tell more: when and where, and the traceback of an error."
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Tell nothing but data and errors; no progress bar."),
    ] = False,
    max_line: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Longest line of text, or piece of XML, that is read; 16M if not given.",
        ),
    ] = None,
) -> None:
    if max_line is not None:
        from labse.files.text import MAX_LINE_VARIABLE

        os.environ[MAX_LINE_VARIABLE] = str(parse_size(max_line, "--max-line"))
    if verbose and quiet:
        raise UsageError("give --verbose or --quiet, not both")
    set_verbosity(quiet=quiet, verbose=verbose)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code; an error is one line on standard error.

    Args:
        arguments: what follows the program's name; None takes those of the process.
    """
    if sys.stderr is None:  # Python would print messages among the data.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        return fail("standard output is closed", ResourceError.exit_code)
    show_log_messages()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Data is UTF-8, whatever the locale; a file name may be none, and is then escaped.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with answer_signals(_end_as_errors_do, (signal.SIGTERM,)):
            code = _run(arguments or ["--help"])
            sys.stdout.flush()
    except BrokenPipeError:  # The reader has enough: `labse mine ... | head`.
        _discard_output()
        return _CLOSED_PIPE
    except KeyboardInterrupt:
        return fail("interrupted", _INTERRUPTED)
    except SystemExit as stop:
        if stop.code != _TERMINATED:
            raise
        return fail("terminated", _TERMINATED)
    except LabseError as error:
        if is_verbose():
            traceback.print_exc()
        return fail(str(error), error.exit_code)
    except MemoryError:
        return fail("out of memory; give less data at a time", ResourceError.exit_code)
    except OSError as error:
        if is_verbose():
            traceback.print_exc()
        _discard_output()
        where = "output" if error.errno in _DISK_FULL else "the system says"
        return fail(
            f"{error.filename or where}: {error.strerror or error}", ResourceError.exit_code
        )
    except BaseException as error:
        if not is_panic(error):
            raise
        message = f"the model's tokenizer fails ({error}); write its folder again"
        return fail(message, LabseError.exit_code)
    return code


def _end_as_errors_do(_: int) -> None:
    """Answers SIGTERM with an exception, so that temporary files are removed."""
    raise SystemExit(_TERMINATED)


def _run(arguments: list[str]) -> int:
    """Runs typer; what its own handling would swallow comes out as it was raised."""
    command = typer.main.get_command(app)
    try:
        code = command.main(arguments, prog_name="labse", standalone_mode=False)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):
            raise stop.__context__ from None
        raise
    except typer.Abort:
        return fail("stopped: no answer can be read", ResourceError.exit_code)
    except Exception as error:
        # Typer vendors click, and which module its errors come from differs between versions.
        if not hasattr(error, "format_message"):
            raise
        return _fail_usage(error)
    if code == _INTERRUPTED:
        return fail("interrupted", _INTERRUPTED)
    return code if isinstance(code, int) else 0


def _fail_usage(error: Exception) -> int:
    """Tells a wrong option or argument in one line, with the command whose help says more."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "labse"
    message = " ".join(error.format_message().replace("Value error, ", "", 1).split()).rstrip(".")  # type: ignore[attr-defined]
    return fail(f"{message}; see {path} --help", int(getattr(error, "exit_code", 2)))


def _discard_output() -> None:
    """Keeps Python from trying again, at exit, to write what cannot be written.

    Source: the documentation of the module signal, "Note on SIGPIPE".
    """
    with contextlib.suppress(OSError):  # A stream in memory has no descriptor.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
