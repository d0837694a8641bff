"""Gives odd values to every option and argument of every command.

    python tests/faults/options.py --times 2000              so many of all, drawn at random
    python tests/faults/options.py --only "corpus clean"     all values of one command
    python tests/faults/options.py --only mine --show        and what the command says of each

Each trial is a copy of this process, in a folder of its own. Right is: the command works, or tells
what is wrong in one line, with a documented exit code, and a wrong use leaves no file. Faults are:
a traceback, another code, no line or several, a file that is left by a wrong use, more than 20 s of
a processor, more than 2 GiB of memory.
"""

import argparse
import contextlib
import gc
import json
import os
import random
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typer.core import TyperCommand, TyperOption

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))
from tests.faults.fuzz import bound_memory
from tests.faults.kill import fork, import_modules, wait_for, write_inputs

# On tiny inputs: {i} is the folder of these, {w} an empty one. `cluster check` needs Ray.
COMMANDS = {
    "corpus extract": "{i}/site.warc --out {w}/out.jsonl",
    "corpus split": "{i}/raw.jsonl --out {w}/out.jsonl",
    "corpus convert": "{i}/pairs.tsv --out {w}/out.jsonl",
    "corpus clean": "{i}/a.txt --lang en --no-language-id --out {w}/out",
    "corpus decide": "{i}/clean",
    "corpus quality train": "--good {i}/long.txt --bad {i}/bad.txt --out {w}/out",
    "corpus quality apply": "{i}/quality {i}/a.txt",
    "corpus dedup": "{i}/a.txt --lang en --out {w}/out",
    "corpus overlap": "{i}/a.txt --lang en --tests {i}/tests",
    "corpus stats": "{i}/pairs.tsv",
    "vocab": "{i}/pairs.tsv --out {w}/out --vocab-size 160",
    "pretrain": "{i}/pretrain.toml --vocab {i}/vocab --out {w}/out --set train.stage_steps=[1,1]",
    "hard-negatives": "{i}/pairs.tsv --out {w}/out.jsonl --model {i}/model",
    "train": "{i}/train.toml --vocab {i}/vocab --out {w}/out --workers 1 --set train.train_steps=1",
    "plot": "{i}/run --out {w}/out.png",
    "encode": "{i}/a.txt --model {i}/model --out {w}/out",
    "export": "{i}/model {w}/out --force",
    "prune": "{i}/model {w}/out --text {i}/a.txt",
    "verify": "{i}/vectors",
    "evaluate tatoeba": "{i}/tatoeba --model {i}/model",
    "evaluate bucc": "{i}/bucc --model {i}/model",
    "evaluate un": "{i}/un.en {i}/un.fr --model {i}/model",
    "evaluate xsim": "{i}/tico --langs fra --model {i}/model",
    "evaluate retrieval": "{i}/tico --model {i}/model",
    "evaluate sts": "{i}/sts.tsv --model {i}/model",
    "evaluate all": "{i}/sets --model {i}/model --out {w}/out",
    "compare": "{i}/report.json {i}/report.json",
    "mine": "{i}/a.txt {i}/b.txt --model {i}/model",
    "score": "{i}/un.en {i}/un.fr --model {i}/model",
    "filter": "{i}/un.en {i}/un.fr --model {i}/model --min-cosine 0.1 --out {w}/out.tsv",
    "cds train": "--trusted {i}/many.tsv --pool {i}/noisy.tsv --model {i}/model --out {w}/out",
    "rate": "{i}/mined.tsv --out {w}/rated.tsv",
    "calibrate": "{i}/rated.tsv",
    "align": "{i}/un.en {i}/un.fr --model {i}/model",
    "serve": "--model {i}/model --port 18961",
    "index build": "{i}/a.txt --model {i}/model --out {w}/out",
    "index add": "{w}/store {i}/b.txt --model {i}/model",
    "index delete": "{w}/store a.txt:1",
    "index copy": "{w}/store {w}/other",
    "index info": "{w}/store",
    "index compact": "{w}/store",
    "search": "{w}/store dog --model {i}/model",
    "web pages": "{i}/site.warc --out {w}/out",
    "web pairs": "{i}/W/pages --langs de,en --model {i}/model --out {w}/out",
    "web align": "{i}/W/pages {i}/W/pairs --model {i}/model --out {w}/out",
    "web bitext": "{i}/W/beads --model {i}/model --out {w}/out.tsv",
    "web run": "{i}/site.warc --langs de,en --model {i}/model --out {w}/out",
    "languages": "",
    "info": "{i}/model",
    "doctor": "--model {i}/model",
}
NUMBERS = (
    "-1", "0", "1", "2", "1.5", "0.5", "-0.5", "nan", "inf", "-inf", "1e400", "9" * 30,
    "2147483648", "1_0", "\uff11", "1K", "1M", "9999999T", "0x10",
)  # fmt: skip
TEXTS = (
    "", "x", "-", "--", "\udcff", "a" * 300, "a\nb", ",", "a" * 70_000, " ", "\ud800", "\x1b[31m",
    "\U0001f600", "=", "a=b", "a,b", "a=1,a=2", "de", "de,de", "de-en", "zz", "[", "{}", "null",
    "'", "1/2", "0/2", "3/2", "1/0", "a b > c", "../x", "train.lr=NaN", "train.lr=-1", "*", "%s",
)  # fmt: skip
# Of `place_odd`, and what every system has.
PATHS = (
    "o/folder", "o/empty", "o/pipe", "o/dangling", "o/loop", "o/link", "o/text", "o/text/x",
    "o/nothing", "o/socket", "o/zero.tsv", "o/zero.jsonl", "o/bad.parquet", "o/bad.gz", "o/bad.npy",
    "o/new/er", "o", "o/\udcff", "/dev/null", "/dev/full", "/dev/zero", "/proc/self/mem", ".", "/",
)  # fmt: skip
CODES = (0, 2, 3, 4, 5)
MAX_CPU_SECONDS = 20
LASTING = ("serve",)  # They run until they are told to end.
ENOUGH_SECONDS = 6


@dataclass(frozen=True)
class Case:
    """A parameter and the value it gets."""

    command: str
    parameter: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.command} {' '.join(self.arguments)}"[:300]


def main() -> int:
    """Prints a line of JSON for each fault and one at the end; returns 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, help="trials, drawn at random; all if not given")
    parser.add_argument("--only", action="append", help="a command, may be repeated")
    parser.add_argument("--option", action="append", help="an option, may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print each outcome")
    options = parser.parse_args()
    begun = time.monotonic()
    os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    counts: Counter[str] = Counter()
    names = options.only or list(COMMANDS)
    with tempfile.TemporaryDirectory(prefix="options-") as name:
        place = Path(name)
        prepare(place, names)
        cases = list(list_cases(names, options.option))
        if options.times is not None:
            cases = random.Random(options.seed).sample(cases, min(options.times, len(cases)))
        for case in cases:
            code, told, faults = try_case(case, place)
            counts[f"exit {code}"] += 1
            counts["faults"] += bool(faults)
            if faults or options.show:
                row = {"faults": faults} if faults else {}
                shown = ascii(str(case)).strip("'")
                row |= {"case": shown, "code": code, "told": told[-1500 if faults else -300 :]}
                print(json.dumps(row), flush=True)
    took = round(time.monotonic() - begun)
    print(json.dumps({"trials": len(cases), "seconds": took, **dict(sorted(counts.items()))}))
    return int(bool(counts["faults"]))


def list_cases(names: list[str], only: list[str] | None) -> Iterator[Case]:
    """Yields every value for every parameter, in place of what the working command gives."""
    for name, command in iter_commands():
        if name not in names:
            continue
        words = COMMANDS[name].split()
        flags = {o for p in command.params if getattr(p, "is_flag", False) for o in p.opts}
        for parameter in command.params:
            shown = parameter.opts[-1] if parameter.opts[-1].startswith("-") else parameter.name
            if only and shown not in only:
                continue
            if parameter.opts[-1] in flags:
                for option in (*parameter.opts, *parameter.secondary_opts):
                    yield Case(name, shown, (*words, option))
                continue
            for value in values_for(parameter):
                given = replace(words, command, parameter, value, flags)
                yield Case(name, shown, given)


def values_for(parameter: "TyperOption") -> tuple[str, ...]:
    """Returns values for a parameter: what is refused by its type alone needs few."""
    kind = str(parameter.type_descriptor.annotation)
    if "Literal" in kind:
        return TEXTS[:8]
    if "int" in kind or "float" in kind:
        return (*NUMBERS, *TEXTS[:8])
    return (*TEXTS, *PATHS, *NUMBERS[:3])


def replace(
    words: list[str], command: "TyperCommand", parameter: "TyperOption", value: str, flags: set[str]
) -> tuple[str, ...]:
    """Returns the words of a command line with another value of one parameter."""
    if shown_option := next((o for o in parameter.opts if o.startswith("--")), None):
        if shown_option in words:
            at = words.index(shown_option)
            return (*words[: at + 1], value, *words[at + 2 :])
        return (*words, shown_option, value)
    places, at = [], 0
    while at < len(words):
        if not words[at].startswith("--"):
            places.append(at)
        elif words[at] not in flags:
            at += 1
        at += 1
    number = [p.name for p in command.params if not p.opts[-1].startswith("-")].index(
        parameter.name
    )
    if number >= len(places):
        return (*words, value)
    return (*words[: places[number]], value, *words[places[number] + 1 :])


def iter_commands() -> Iterator[tuple[str, "TyperCommand"]]:
    """Yields every command with its name and typer's description of it."""
    import typer

    from labse.cli import app

    def walk(
        command: "TyperCommand", names: tuple[str, ...]
    ) -> Iterator[tuple[str, "TyperCommand"]]:
        if not hasattr(command, "commands"):
            yield " ".join(names), command
            return
        for name in command.list_commands(None):
            _, inner, _ = command.resolve_command(None, [name])
            yield from walk(inner, (*names, name))

    yield from walk(typer.main.get_command(app), ())


# ---- One trial ----


def try_case(case: Case, place: Path) -> tuple[int, str, list[str]]:
    """Runs a command; returns its exit code, what it said, and what was wrong."""
    work, log = place / "now", place / "now.log"
    shutil.rmtree(work, ignore_errors=True)
    log.unlink(missing_ok=True)
    (work / "tmp").mkdir(parents=True)
    place_odd(work / "o")
    if any(word.startswith("{w}/store") for word in case.arguments):
        shutil.copytree(place / "inputs/store", work / "store")
    before = list_files(work)

    is_fed = any("o/pipe" in word for word in case.arguments)
    feeder = fork(lambda: feed(work / "o/pipe"), place / "feed.log") if is_fed else 0
    pid = fork(lambda: call(case, place, work), log)
    lasts = case.command in LASTING
    code = wait_for(pid, ENOUGH_SECONDS, lasts=True) if lasts else wait_for(pid)
    if feeder:
        os.kill(feeder, signal.SIGKILL)
        os.waitpid(feeder, 0)

    told = log.read_text("utf-8", "replace") if log.exists() else ""
    errors = [line for line in told.splitlines() if line.startswith("labse: error:")]
    faults = []
    if "Traceback (most recent" in told or "panicked at" in told:
        faults.append("traceback")
    if code not in CODES:
        faults.append(f"exit code {code}")
    if code in CODES[1:] and (len(errors) != 1 or not told.endswith(errors[0] + "\n")):
        faults.append(f"{len(errors)} lines of error, or not the last")
    if any(len(line) > 1000 for line in errors):
        faults.append("a line longer than a thousand characters")
    if code == CODES[1] and (left := sorted(list_files(work) - before)):
        faults.append(f"left: {left[:3]}")
    if not (work / "o/text").is_file():
        faults.append("an input is gone")
    return code, told, faults


def call(case: Case, place: Path, work: Path) -> int:
    from labse.cli import main as run_labse

    os.chdir(work)
    os.environ["TMPDIR"] = tempfile.tempdir = str(work / "tmp")
    os.environ["LABSE_CACHE"] = str(place / "cache")
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_SECONDS, MAX_CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
    bound_memory()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    filled = [fill(word, place, work) for word in (*case.command.split(), *case.arguments)]
    return run_labse(filled)


def fill(word: str, place: Path, work: Path) -> str:
    return word.replace("{i}", str(place / "inputs")).replace("{w}", str(work))


def list_files(folder: Path) -> set[str]:
    return {os.fsencode(path.relative_to(folder)).decode("ascii", "replace")
            for path in folder.rglob("*") if path.name not in ("tmp", ".lock")}  # fmt: skip


def place_odd(folder: Path) -> None:
    """Makes what a path may lead to and is not expected."""
    (folder / "folder").mkdir(parents=True)
    (folder / "folder/x").write_text("x\n")
    (folder / "text").write_text("The dog sleeps.\nIt rains.\n")
    (folder / "empty").touch()
    for name in ("zero.tsv", "zero.jsonl", "bad.parquet", "bad.gz", "bad.npy"):
        (folder / name).write_bytes(b"" if name.startswith("zero") else b"\x00\xff\n" * 9)
    os.mkfifo(folder / "pipe")
    for name, target in (("dangling", "gone"), ("loop", "loop"), ("link", "text")):
        (folder / name).symlink_to(target)
    with socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
        server.bind(os.path.relpath(folder / "socket"))


def feed(pipe: Path) -> None:
    """Writes two lines for each reader of the pipe, as a shell does for `<(command)`."""
    while True:
        with contextlib.suppress(BrokenPipeError), pipe.open("wb") as stream:
            stream.write(b"The dog sleeps.\nIt rains.\n")
        time.sleep(0.01)


# ---- What is read ----


def prepare(place: Path, names: list[str]) -> None:
    """Makes the inputs and imports what the commands import; each must work as it stands."""
    log = place / "inputs.log"
    if wait_for(fork(lambda: prepare_inputs(place, names), log), 600):
        raise SystemExit(log.read_text("utf-8"))
    for name in names:
        modules = place / "modules"
        case = Case(name, "", tuple(COMMANDS[name].split()))
        # Twice: the first imports, the second is a copy of what has imported.
        pid = fork(partial(tell_modules, case, place, modules), place / "first.log")
        lasts = name in LASTING
        wait_for(pid, ENOUGH_SECONDS if lasts else 600, lasts=lasts)
        if modules.exists():
            import_modules(modules)
            modules.unlink()
        code, told, faults = try_case(case, place)
        if code or faults:
            raise SystemExit(f"{name}: {code} {faults} {told}")
    gc.freeze()  # Else each copy would write to all pages.


def tell_modules(case: Case, place: Path, modules: Path) -> int:
    work = place / "first"
    shutil.rmtree(work, ignore_errors=True)
    (work / "tmp").mkdir(parents=True)
    if any(word.startswith("{w}/store") for word in case.arguments):
        shutil.copytree(place / "inputs/store", work / "store")
    try:
        return call(case, place, work)
    finally:
        modules.write_text("\n".join(list(sys.modules)))


def prepare_inputs(place: Path, names: list[str]) -> None:
    """Writes small inputs of the commands, most by other commands."""
    from labse.cli import main as run_labse

    folder = place / "inputs"
    write_inputs(folder)
    lines = (folder / "long.txt").read_text("utf-8").splitlines()
    texts = {
        "bad.txt": "".join(f"{n} >> || {n * n} ##\n" for n in range(300)),
        "raw.jsonl": json.dumps({"text": "The dog sleeps. It rains.", "lang": "en"}) + "\n",
        "un.en": "".join(f"{line}\n" for line in lines[:20]),
        "un.fr": "".join(f"{line.upper()}\n" for line in lines[:20]),
        "tests/t.txt": f"{lines[0]}\n",
        "sts.tsv": "".join(f"{lines[n]}\t{lines[n + 9]}\t{n}\n" for n in range(6)),
        "mined.tsv": "margin_score\tsource\ttarget\n"
        + "".join(f"{2 - n / 300}\t{a}\t{a.upper()}\n" for n, a in enumerate(lines)),
        "rated.tsv": "score\tlabel\tsource\ttarget\n"
        + "".join(
            f"{2 - n / 300}\t{'good' if n < 200 else 'bad'}\t{a}\t{a.upper()}\n"
            for n, a in enumerate(lines)
        ),
        "noisy.tsv": "source\ttarget\n"
        + "".join(f"{a}\t{b.upper()}\n" for a, b in zip(lines, lines[7:], strict=False)),
        "many.tsv": "source\ttarget\n" + "".join(f"{a}\t{a.upper()}\n" for a in lines),
    }
    for lang, change in (("eng", str), ("fra", str.upper), ("deu", str.lower)):
        texts[f"tico/{lang}.txt"] = "".join(f"{change(line)}\n" for line in lines[:30])
        if lang != "eng":
            texts[f"tatoeba/tatoeba.{lang}-eng.eng"] = texts["tico/eng.txt"]
            texts[f"tatoeba/tatoeba.{lang}-eng.{lang}"] = texts[f"tico/{lang}.txt"]
    for split in ("training", "test"):
        for lang, change in (("fr", str.upper), ("en", str)):
            rows = [f"{lang}-{n}\t{change(line)}\n" for n, line in enumerate(lines[:30])]
            texts[f"bucc/fr-en/fr-en.{split}.{lang}"] = "".join(rows)
        texts[f"bucc/fr-en/fr-en.{split}.gold"] = "".join(f"fr-{n}\ten-{n}\n" for n in range(20))
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    shutil.copytree(folder / "tatoeba", folder / "sets/tatoeba")

    model = f"--model {folder}/model"
    os.chdir(folder)
    read = " ".join(COMMANDS[name] for name in names)
    for made, command in (
        ("clean", "corpus clean a.txt --lang en --no-language-id"),
        ("quality", "corpus quality train --good long.txt --bad bad.txt"),
        ("run", f"train train.toml --vocab {folder}/vocab --workers 1"),
        ("vectors", f"encode a.txt {model}"),
        ("report.json", f"evaluate tatoeba tatoeba {model}"),
        ("store", f"index build a.txt --lang en {model}"),
        ("W", f"web run site.warc --langs de,en {model}"),
    ):
        if f"/{made}" in read and run_labse(["--quiet", *command.split(), "--out", made]):
            raise SystemExit(command)


if __name__ == "__main__":
    sys.exit(main())
