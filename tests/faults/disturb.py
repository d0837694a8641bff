"""Disturbs a command in every way but a kill, runs the same again, and compares the bytes.

    python tests/faults/disturb.py --times 20                          all commands and ways
    python tests/faults/disturb.py --times 5 --only mine --way disk --seed 7

Right is: the disturbed command works, or tells what is wrong in one line with its documented exit
code; the same command, undisturbed, then ends in the bytes of a run that nothing has disturbed, and
leaves nothing else. A way that needs root, to mount a small disk, is left out without it.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))
from tests.faults.kill import (
    TRIALS,
    Expected,
    Trial,
    call,
    find_faults,
    find_unlike,
    fork,
    import_modules,
    is_temporary,
    log_of,
    measure,
    read_result,
    wait_for,
    write_inputs,
)

NAMES = [name for name, trial in TRIALS.items() if trial.ranks == 1]
FAR_FUTURE = 4_102_444_800  # The first of January 2100.


def read_but_older_checkpoints(folder: Path) -> object:
    """Returns all files; a run that was asked to end has an older checkpoint in another place."""
    files = read_result(Trial(""), folder)
    assert isinstance(files, dict)
    steps = sorted(name.split("/")[2] for name in files if name.startswith("run/checkpoints/step"))
    return {name: content for name, content in files.items()
            if "/checkpoints/step" not in name or steps[-1] in name}  # fmt: skip


TRAININGS = {name: replace(trial, result=read_but_older_checkpoints)
             for name, trial in TRIALS.items() if name in ("train", "pretrain")}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """A command about to be disturbed, in an empty folder beside its own inputs."""

    trial: Trial
    folder: Path
    expected: Expected
    generator: random.Random

    def start(self, prepare: Callable[[], object] | None = None, log: Path | None = None) -> int:
        """Starts the command and returns the number of its process."""

        def work() -> int:
            if prepare:
                prepare()
            return call(self.trial, self.folder, {}, None)

        return fork(work, log or log_of(self.folder))

    def wait_a_while(self, share: float = 1.0) -> None:
        time.sleep(self.generator.uniform(0, self.expected.seconds * share))

    @property
    def inputs(self) -> Path:
        return self.folder.parents[1] / "inputs"


Way = Callable[[Scene], str]


def main() -> int:
    """Prints a line of JSON for each command and way; returns 1 if something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=5, help="of each way and command")
    parser.add_argument("--only", action="append", choices=NAMES, help="may be repeated")
    parser.add_argument("--way", action="append", choices=sorted(WAYS), help="may be repeated")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    ways = options.way or [way for way in WAYS if way not in WITH_ROOT or os.geteuid() == 0]
    num_wrong = 0
    with tempfile.TemporaryDirectory(prefix="disturb-") as name:
        place = Path(name)
        log = place / "inputs.log"
        if wait_for(fork(lambda: write_inputs(place / "inputs"), log)):
            raise SystemExit(log.read_text("utf-8"))
        for command in options.only or NAMES:
            trial = (TRIALS | TRAININGS)[command]
            measure(trial, place / command / "undisturbed")
            import_modules(place / command / "undisturbed.modules")
            expected = measure(trial, place / command / "again")
            for way in ways:
                num_wrong += disturb_often(way, command, expected, place, options)
    return int(bool(num_wrong))


def disturb_often(
    way: str, command: str, expected: Expected, place: Path, options: argparse.Namespace
) -> int:
    generator = random.Random(f"{options.seed} {command} {way}")
    begun = time.monotonic()
    counts: Counter[str] = Counter()
    examples = []
    for number in range(options.times):
        folder = place / command / f"{way}{number}"
        folder.mkdir()
        scene = Scene((TRIALS | TRAININGS)[command], folder, expected, generator)
        outcome = WAYS[way](scene)
        is_right = outcome.startswith("exit ")
        counts[outcome if is_right else "wrong"] += 1
        examples += [] if is_right else [outcome]
        shutil.rmtree(folder)
    took = round(time.monotonic() - begun)
    told = {"command": command, "way": way, **counts, "examples": examples[:3], "seconds": took}
    print(json.dumps(told), flush=True)
    return counts["wrong"]


def judge(scene: Scene, code: int, codes: tuple[int, ...], *, again: bool = True) -> str:
    """Returns `exit N` if all is as it should be, else what is not."""
    told = log_of(scene.folder).read_text("utf-8", "replace")
    log_of(scene.folder).unlink()
    errors = [line for line in told.splitlines() if line.startswith("labse: error:")]
    if "Traceback (most recent" in told:
        return f"traceback: {told[-1500:]}"
    if code not in codes:
        return f"ended with {code}: {told[-600:]}"
    if code and len(errors) != 1:
        return f"{len(errors)} lines of error: {told[-600:]}"
    wrong = find_faults(scene.trial, scene.folder, scene.expected) if again else ""
    return f"after {code}, {errors}: {wrong}" if wrong else f"exit {code}"


# ---- The ways ----


def fill_disk(scene: Scene) -> str:
    """A disk that is full at some moment, and then has room."""
    needed = sum(path.stat().st_size for path in scene.folder.parent.glob("again/**/*"))
    pages = scene.generator.randint(1, needed // 4096 + 4)
    with small_disk(scene.folder, pages * 4096):
        code = wait_for(scene.start())
        subprocess.run(["mount", "-o", "remount,size=1G", scene.folder], check=True)
        return judge(scene, code, (0, 4))


def limit_files(scene: Scene) -> str:
    """A quota: no file may be larger than so much."""
    largest = max(
        path.stat().st_size for path in scene.folder.parent.glob("again/**/*") if path.is_file()
    )
    size = scene.generator.randint(1, largest + 1)
    code = wait_for(scene.start(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))))
    return judge(scene, code, (0, 4))


def limit_descriptors(scene: Scene) -> str:
    """Few open files are allowed."""
    most = scene.generator.randint(6, 24)
    code = wait_for(scene.start(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))))
    return judge(scene, code, (0, 4))


def forbid_writing(scene: Scene) -> str:
    """A disk that is read-only, and then is not."""
    with small_disk(scene.folder, 1 << 30):
        subprocess.run(["mount", "-o", "remount,ro", scene.folder], check=True)
        code = wait_for(scene.start())
        subprocess.run(["mount", "-o", "remount,rw", scene.folder], check=True)
        if found := list(scene.folder.iterdir()):
            return f"wrote on a read-only disk: {found}"
        return judge(scene, code, (4,))


def end_by(number: signal.Signals, scene: Scene) -> str:
    """A signal that asks the command to end, at a random moment; it may come twice."""
    pid = scene.start()
    for _ in range(scene.generator.choice((1, 1, 2))):
        scene.wait_a_while()
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    # A copy has no handlers yet while it is being made.
    return judge(scene, wait_for(pid), (0, 5, 128 + number, -number))


def interrupt_start(scene: Scene) -> str:
    """SIGINT to a new process, in its first seconds."""
    arguments = scene.trial.arguments.format(i=scene.inputs).split()
    environment = os.environ | {"TMPDIR": str(scene.folder), "OMP_NUM_THREADS": "1"}
    with log_of(scene.folder).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "labse", *arguments],
            cwd=scene.folder,
            env=environment,
            stdout=log,
            stderr=log,
        )
        time.sleep(scene.generator.uniform(0.1, 2.5))
        process.send_signal(signal.SIGINT)
        code = process.wait()
    told = log_of(scene.folder).read_text("utf-8", "replace")
    if code == -signal.SIGINT or ("Traceback" in told and f"{ROOT}/src/" not in told):
        return "exit before Python was loaded"
    return judge(scene, code, (0, 5, 130))


def stop_and_continue(scene: Scene) -> str:
    """Ctrl-Z, and the command goes on later."""
    pid = scene.start()
    for _ in range(3):
        scene.wait_a_while(0.4)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.3)
            os.kill(pid, signal.SIGCONT)
    return judge(scene, wait_for(pid), (0,))


def start_two(scene: Scene) -> str:
    """The same command twice at the same time: one works, and the other does nothing or waits."""
    other = scene.folder.with_suffix(".first")
    first = scene.start(log=other)
    scene.wait_a_while(scene.generator.choice((0.0, 0.3, 1.0)))
    second = scene.start()
    codes = wait_for(first), wait_for(second)
    told = other.read_text("utf-8")
    if 0 not in codes or "Traceback" in told:
        return f"ended with {codes}: {told[-500:]} {log_of(scene.folder).read_text('utf-8')[-500:]}"
    return judge(scene, codes[1], (0, 2))


def set_clock_back(scene: Scene) -> str:
    """Killed; then all that was written seems to come from the future."""
    pid = scene.start()
    scene.wait_a_while()
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    wait_for(pid)
    for path in (scene.folder, *scene.folder.rglob("*")):
        os.utime(path, (FAR_FUTURE, FAR_FUTURE), follow_symlinks=False)
    return judge(scene, 0, (0,))


def lose_files(scene: Scene) -> str:
    """All that was written is suddenly elsewhere, as when a disk goes and its place stays."""
    pid = scene.start()
    scene.wait_a_while()
    lost = scene.folder.with_suffix(".lost")
    lost.mkdir()
    for path in scene.folder.iterdir():
        path.rename(lost / path.name)
    code = wait_for(pid)
    shutil.rmtree(lost)
    if not code and any(scene.folder.iterdir()):  # What was finished before may be gone whole.
        expected, found = scene.expected.files, read_result(scene.trial, scene.folder)
        if isinstance(expected, dict) and isinstance(found, dict):
            there = {name.split("/")[0] for name in found}
            expected = {name: expected[name] for name in expected if name.split("/")[0] in there}
        if found != expected:
            return f"ended well, and these are lost: {find_unlike(expected, found)}"
    return judge(scene, code, (0, 4))


def change_input(scene: Scene) -> str:
    """A file that is read grows, shrinks or is replaced, and is then as it was."""
    with own_inputs(scene) as (own, files):
        path = scene.generator.choice(files)
        content = path.read_bytes()
        pid = own.start()
        scene.wait_a_while()
        change = scene.generator.choice(("grow", "shrink", "replace", "remove"))
        if change == "grow":
            with path.open("ab") as stream:
                stream.write(content[:200])
        elif change == "shrink":
            os.truncate(path, len(content) // 2)
        elif change == "remove":
            path.unlink()
        else:
            path.with_name("new").write_bytes(content[::-1])
            path.with_name("new").replace(path)
        code = wait_for(pid)
        told = log_of(scene.folder).read_text("utf-8", "replace")
        path.write_bytes(content)
        if "Traceback (most recent" in told or code not in (0, 2, 3):
            return f"{change}: ended with {code}: {told[-1500:]}"
        if code and told.count("labse: error:") != 1:
            return f"{change}: ended with {code}: {told[-600:]}"
        log_of(scene.folder).unlink()
        # Finished work of the changed file may be refused, never taken for that of this one.
        second = wait_for(own.start())
        told = log_of(scene.folder).read_text("utf-8", "replace")
        if second:
            is_told = second in (2, 3) and told.count("labse: error:") == 1
            return f"exit {code}, then {second}" if is_told else f"{change}, again: {told[-600:]}"
        found = read_result(scene.trial, scene.folder)
        if found != scene.expected.files:
            return f"{change}: exit {code}, then other bytes than undisturbed"
        left = [str(p) for p in scene.folder.rglob("*") if is_temporary(p.name)]
        return f"left behind: {left[:3]}" if left else f"exit {code}"


@contextmanager
def own_inputs(scene: Scene) -> Iterator[tuple[Scene, list[Path]]]:
    """Gives a scene whose inputs are its own, in place of the others, and the files that change."""
    place, kept = scene.inputs, scene.inputs.with_name("inputs.kept")
    shutil.copytree(place, kept)
    words = [Path(word) for word in scene.trial.arguments.format(i=place).split()]
    files = [path for path in words if path.is_file() and path.suffix != ".toml"]
    folders = [path for path in words if path.is_dir() and path.name not in ("model", "vocab")]
    files += [path for folder in folders for path in sorted(folder.iterdir())]
    try:
        yield scene, files or [place / "pairs.tsv"]
    finally:
        shutil.rmtree(place)
        kept.rename(place)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """Mounts a disk of so many bytes over a folder for the block."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


WAYS: dict[str, Way] = {
    "disk": fill_disk,
    "read-only": forbid_writing,
    "quota": limit_files,
    "descriptors": limit_descriptors,
    "change": change_input,
    "two": start_two,
    "term": partial(end_by, signal.SIGTERM),
    "int": partial(end_by, signal.SIGINT),
    "start": interrupt_start,
    "stop": stop_and_continue,
    "clock": set_clock_back,
    "lost": lose_files,
}
WITH_ROOT = ("disk", "read-only")


if __name__ == "__main__":
    sys.exit(main())
