"""Kills a command at a random moment with `kill -9`, runs the same again, and compares the bytes.

    python tests/faults/kill.py --times 200                  every command, 200 kills each
    python tests/faults/kill.py --times 20 --only mine --seed 7
    python tests/faults/kill.py --times 20 --only web --evenly    from the first change to the last

One process imports everything and each trial is a copy of it, so that hundreds of kills are
affordable; what is killed is a process of its own. Half of the kills come at a random time, half
right before a random change of the file system, where most of what can go wrong lies.
"""

import argparse
import importlib
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What says when, where or how fast, and locks, which name a process.
UNLIKE = (".lock", "seconds", "per_second", "created", "memory", "time", "mfu", "tflops", "peak")
# Events of Python's audit hooks that change the file system.
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree")
MAX_SECONDS = 300  # A process that takes so long hangs, on a busy machine too.
UNDISTURBED = 1 << 30  # The number of a change that never comes.


@dataclass(frozen=True)
class Trial:
    """A command line; `{i}` stands for the folder of inputs, and each runs in a folder of its own.

    Attributes:
        arguments: of labse.
        ranks: processes, as torchrun starts them.
        result: gives what must be equal; None takes all files.
    """

    arguments: str
    ranks: int = 1
    result: Callable[[Path], object] | None = None


TRIALS = {
    "encode": Trial("encode {i}/long.txt --model {i}/model --out v --shard-rows 60"),
    "mine": Trial("mine {i}/a.txt {i}/b.txt --model {i}/model --work work --out mined.tsv"),
    "align": Trial("align {i}/left {i}/right --model {i}/model --out aligned"),
    "clean": Trial(
        "corpus clean {i}/a.txt {i}/b.txt --lang en --no-language-id --out clean --rejects"
    ),
    "clean-workers": Trial(
        "corpus clean {i}/a.txt {i}/b.txt --lang en --no-language-id --out clean --workers 2"
    ),
    "dedup": Trial("corpus dedup {i}/a.txt {i}/b.txt --lang en --near 0.8 --out unique"),
    "vocab": Trial("vocab {i}/pairs.tsv --out vocab --vocab-size 160 --counts counts --memory 1M"),
    "pretrain": Trial("pretrain {i}/pretrain.toml --vocab {i}/vocab --out run"),
    "train": Trial("train {i}/train.toml --vocab {i}/vocab --out run --workers 1"),
    "train-2": Trial("train {i}/train.toml --vocab {i}/vocab --out run --workers 1", ranks=2),
    "index": Trial(
        "index build {i}/long.txt --lang en --model {i}/model --out store",
        result=lambda folder: read_store(folder / "store"),
    ),
    "web": Trial("web run {i}/site.warc --langs de,en --model {i}/model --out W"),
    "web-global": Trial("web run {i}/site.warc --langs de,en --model {i}/model --global --out W"),
}


def main() -> int:
    """Runs the trials and prints a line of JSON for each command; returns 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=10, help="kills of each command")
    parser.add_argument("--only", action="append", choices=sorted(TRIALS), help="may be repeated")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--evenly", action="store_true", help="all over the changes of files")
    parser.add_argument("--keep", type=Path, help="folder that keeps what went wrong")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-") as name:
        place = Path(name)
        log = place / "inputs.log"
        if wait_for(fork(lambda: write_inputs(place / "inputs"), log)):
            raise SystemExit(log.read_text("utf-8"))
        # Some trials fail; the counts of all are told first.
        told = [kill_often(name, options, place) for name in options.only or TRIALS]
    return int(any(row["wrong"] for row in told))


def kill_often(name: str, options: argparse.Namespace, place: Path) -> dict[str, object]:
    """Kills one command so many times, each in an empty folder; prints and returns the counts."""
    trial, generator = TRIALS[name], random.Random(f"{options.seed} {name}")
    begun = time.monotonic()
    first = measure(trial, place / name / "undisturbed")
    import_modules(place / name / "undisturbed.modules")
    expected = measure(trial, place / name / "again")
    assert first.files == expected.files, "bytes differ unkilled"

    counts: Counter[str] = Counter()
    examples = []
    for number in range(options.times):
        folder = place / name / str(number)
        folder.mkdir(parents=True)
        moment = draw_moment(generator, expected)
        if options.evenly:
            place_in_run = number / max(1, options.times - 1)
            moment = Moment(change=1 + round(place_in_run * (expected.num_changes - 1)))
        was_killed = run(trial, folder, moment)
        counts["killed" if was_killed else "ended before"] += 1
        wrong = find_faults(trial, folder, expected)
        if wrong:
            counts["wrong"] += 1
            examples.append(f"{moment}: {wrong}")
            if options.keep:
                shutil.copytree(folder, options.keep / name / str(number), dirs_exist_ok=True)
                shutil.copy(log_of(folder), options.keep / name / f"{number}.log")
        shutil.rmtree(folder)
    row = {
        "command": name,
        "killed": counts["killed"],
        "ended_before": counts["ended before"],
        "wrong": counts["wrong"],
        "undisturbed_seconds": round(expected.seconds, 2),
        "changes": expected.num_changes,
        "examples": examples[:5],
        "took_seconds": round(time.monotonic() - begun),
    }
    print(json.dumps(row), flush=True)
    return row


# ---- One run ----


@dataclass(frozen=True)
class Moment:
    """When a process is killed: after so many seconds, or before its so-and-so-manieth change."""

    seconds: float | None = None
    change: int = 0
    rank: int = 0


@dataclass(frozen=True)
class Expected:
    """What an undisturbed run has left, and how long it took."""

    files: object
    seconds: float
    num_changes: int


def draw_moment(generator: random.Random, expected: Expected) -> Moment:
    rank = generator.randrange(2)
    if generator.random() < 0.5:
        return Moment(seconds=generator.uniform(0, expected.seconds), rank=rank)
    return Moment(change=generator.randint(1, expected.num_changes), rank=rank)


def measure(trial: Trial, folder: Path) -> Expected:
    folder.mkdir(parents=True)
    begun = time.monotonic()
    if run(trial, folder, Moment(change=UNDISTURBED)):
        raise SystemExit(f"{trial.arguments}: {log_of(folder).read_text('utf-8')[-2000:]}")
    seconds = time.monotonic() - begun
    num_changes = int(folder.with_suffix(".changes").read_text())
    return Expected(read_result(trial, folder), seconds, num_changes)


def find_faults(trial: Trial, folder: Path, expected: Expected) -> str:
    """Runs the same command to its end; returns what is not as if it had never been killed."""
    if run(trial, folder, None):
        return "the same command fails: " + log_of(folder).read_text("utf-8")[-500:]
    found = read_result(trial, folder)
    if found != expected.files:
        names = find_unlike(expected.files, found)
        return f"differs from the undisturbed run: {names}"
    left = [str(path.relative_to(folder)) for path in folder.rglob("*") if is_temporary(path.name)]
    return f"left behind: {left[:3]}" if left else ""


def import_modules(names: Path) -> None:
    """Imports what a process has imported, so that the next need not."""
    for name in names.read_text().split():
        with suppress(Exception):
            importlib.import_module(name)
    assert threading.active_count() == 1, "a thread would be lost in a copy"


def find_unlike(expected: object, found: object) -> object:
    if isinstance(expected, dict) and isinstance(found, dict):
        return sorted(k for k in {*expected, *found} if expected.get(k) != found.get(k))[:5]
    return "its rows"


def is_temporary(name: str) -> bool:
    return name.startswith((".work", "labse-")) or name.endswith((".tmp", ".old"))


def run(trial: Trial, folder: Path, moment: Moment | None) -> bool:
    """Runs the command in processes of its own; tells whether it ended otherwise than well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    pids = []
    for rank in range(trial.ranks):
        where = {"RANK": str(rank), "WORLD_SIZE": str(trial.ranks), "LOCAL_RANK": str(rank)}
        where |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        own = moment if moment and rank == moment.rank % trial.ranks else None
        pids.append(fork(lambda w=where, m=own: call(trial, folder, w, m), log_of(folder)))
    if moment and moment.seconds is not None:
        time.sleep(moment.seconds)
        with suppress(ProcessLookupError):
            os.kill(pids[moment.rank % trial.ranks], signal.SIGKILL)
    return any([wait_for(pid) for pid in pids])


def call(trial: Trial, folder: Path, where: dict[str, str], moment: Moment | None) -> int:
    """Is what a new process does."""
    from labse.cli import main as run_labse

    os.environ["OMP_NUM_THREADS"] = "1"

    os.chdir(folder)
    # A temporary file that is left in the system's place counts like one beside the output.
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    os.environ["LABSE_CACHE"] = str(folder.parents[1] / "cache")
    os.environ.update(where if trial.ranks > 1 else {})
    num_changes = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal num_changes
        if event in CHANGES or (event == "open" and is_writing(arguments)):
            num_changes += 1
            if moment and num_changes == moment.change:
                os.kill(os.getpid(), signal.SIGKILL)

    if moment and moment.change:
        sys.addaudithook(count)
    code = run_labse(trial.arguments.format(i=folder.parents[1] / "inputs").split())
    if moment and moment.change == UNDISTURBED:
        folder.with_suffix(".changes").write_text(str(num_changes))
        folder.with_suffix(".modules").write_text("\n".join(list(sys.modules)))
    return code


def is_writing(arguments: tuple[object, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def fork(work: Callable[[], object], log: Path) -> int:
    """Starts a process, whose words go to a file, and returns its number."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if pid := os.fork():
        return pid
    code = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        code = work() or 0  # type: ignore[assignment]
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait_for(pid: int, seconds: float = MAX_SECONDS, *, lasts: bool = False) -> int:
    """Returns the exit code; a process that hangs is killed and told as such.

    One that lasts until it is told to end is told so after these seconds.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    if lasts:
        os.kill(pid, signal.SIGTERM)
        code = wait_for(pid)
        return 0 if code == 128 + signal.SIGTERM else code
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    print(f"process {pid} hung for {seconds} s", file=sys.stderr)
    return 124


def log_of(folder: Path) -> Path:
    return folder.with_suffix(".log")


# ---- What is compared ----


def read_result(trial: Trial, folder: Path) -> object:
    if trial.result:
        return trial.result(folder)
    files = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and path.name not in UNLIKE:
            is_told = path.suffix in (".json", ".jsonl") and b'"' in path.read_bytes()
            files[name] = list(without_times(path)) if is_told else path.read_bytes()
            if path.name == "progress.jsonl":  # Of several workers, in the order they ended.
                files[name] = sorted(map(str, files[name]))
    return files


def without_times(path: Path) -> Iterator[object]:
    """Yields the rows of JSON without what says when and how fast."""
    text = path.read_text("utf-8")
    for row in [text] if path.suffix == ".json" else text.splitlines():
        yield json.loads(row, object_hook=drop_times)


def drop_times(values: dict[str, object]) -> dict[str, object]:
    return {k: v for k, v in values.items() if not any(word in k for word in UNLIKE)}


def read_store(folder: Path) -> object:
    """Returns the rows of an index, in order of their ids: its files are those of an engine."""
    from labse.index.embedding_index import EmbeddingIndex

    with EmbeddingIndex.open(folder, wait_seconds=10) as index:
        pairs = [pair for part in index.scan() for pair in zip(*part, strict=True)]
    rows = [(row.id, row.text, row.lang, [round(float(x), 5) for x in v]) for row, v in pairs]
    return sorted(rows)


# ---- Inputs ----


def write_inputs(folder: Path) -> None:
    """Writes texts, pairs, pages, a vocabulary and a model, all tiny."""
    sys.path.append(str(ROOT))
    from tests.model_data import random_folder
    from tests.unit.web.site import build_site, build_warc

    from labse.model_folder.folder import write_model_folder
    from labse.vocab.folder import learn_vocabulary

    folder.mkdir(parents=True, exist_ok=True)
    generator = random.Random(0)
    subjects = ("The old man", "My sister", "A small dog", "The teacher", "Our neighbour")
    verbs = ("walked slowly to", "has never seen", "was born near", "wrote a letter about")
    objects = ("the station in the morning", "that house by the river", "the museum of the town")

    def sentence(number: int) -> str:
        words = map(generator.choice, (subjects, verbs, objects))
        return " ".join(words) + f" in {1800 + number}."

    for name, size in (("a", 40), ("b", 50), ("long", 300)):
        text = "".join(sentence(number) + "\n" for number in range(size))
        (folder / f"{name}.txt").write_text(text, "utf-8")
    rows = ["source\ttarget\tsource_lang\ttarget_lang"]
    rows += [f"{s}\t{s.upper()}\teng\tdeu" for s in map(sentence, range(60))]
    (folder / "pairs.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    for side in ("left", "right"):
        (folder / side).mkdir()
        for number in range(6):
            text = "".join(sentence(n) + "\n" for n in range(12))
            (folder / side / f"{number}.txt").write_text(text, "utf-8")
    (folder / "site.warc").write_bytes(build_warc(build_site()))

    learn_vocabulary([folder / "pairs.tsv"], folder / "vocab", vocab_size=160, min_count=1)
    sizes = {"hidden_size": 16, "num_hidden_layers": 0, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 24, "max_position_embeddings": 64}
    options = {"max_seq_length": 64, "pooling": "mean"}
    model = random_folder(folder / "vocab", sizes, seed=7, scale=0.3, **options)
    write_model_folder(folder / "model", model, vocab_folder=folder / "vocab", manifest={"seed": 7})
    write_configs(folder)


BERT = """[model.bert]
hidden_size = 16
num_hidden_layers = 2
num_attention_heads = 2
intermediate_size = 24
max_position_embeddings = 24
[train]
global_batch_size = 8
log_every = 2
checkpoint_every = 2
eval_every = 4
lr = 1e-3
"""


def write_configs(folder: Path) -> None:
    data = '[data]\npairs = ["pairs.tsv"]\n'
    model = "[model]\nmax_seq_length = 20\n"
    (folder / "train.toml").write_text(f"{data}{model}{BERT}train_steps = 6\n")
    data += 'text = ["pairs.tsv"]\nmax_seq_length = 20\nvalidation_examples = 4\n'
    (folder / "pretrain.toml").write_text(f"{data}{BERT}stage_steps = [3, 3]\n")


if __name__ == "__main__":
    sys.exit(main())
