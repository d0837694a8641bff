import os
import platform
import random
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from labse.errors import InterruptedRunError, ResourceError
from labse.runtime import (
    answer_signals,
    fork_safe_lock,
    has_fast_bfloat16,
    hold_interrupts,
    is_main_process,
    require,
    resumable,
    seed_everything,
    stop_requests,
    warn_of_emulation,
)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_lock_that_a_thread_holds_is_free_in_a_fork() -> None:
    lock, is_held = fork_safe_lock(), threading.Event()

    def hold() -> None:
        with lock:
            is_held.set()
            time.sleep(0.2)

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait()
    child = os.fork()
    if not child:
        os._exit(int(not lock.acquire(timeout=5)))
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
    assert lock.acquire(blocking=False)


def test_an_installed_module_is_returned() -> None:
    assert require("json.decoder", "parquet").__name__ == "json.decoder"


def test_a_missing_package_says_what_to_install() -> None:
    with pytest.raises(ResourceError, match=r'needs no_such_package.*pip install "labse\[train\]"'):
        require("no_such_package.inner", "train")


def test_a_package_that_is_itself_broken_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_package.py").write_text("import its_missing_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="its_missing_dependency"):
        require("broken_package", "train")
    assert "broken_package" not in sys.modules


def test_a_seed_fixes_every_global_generator() -> None:
    torch = pytest.importorskip("torch")

    def draw() -> list[float]:
        seed_everything(7)
        return [random.random(), float(np.random.random()), float(torch.rand(()))]  # noqa: NPY002

    assert draw() == draw()


def test_the_first_process_of_torchrun_is_the_main_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("RANK", "3")  # Left over from something else.
    assert is_main_process()
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert not is_main_process()
    monkeypatch.setenv("RANK", "0")
    assert is_main_process()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_held_signal_is_answered_after_the_block(number: signal.Signals) -> None:
    done = []

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    def hold() -> None:
        with hold_interrupts():
            signal.raise_signal(number)
            done.append("block")
        done.append("after")  # Not reached.

    with answer_signals(stop):
        with pytest.raises(KeyboardInterrupt):
            hold()
        assert done == ["block"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_becomes_a_request_and_its_handler_comes_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_requests() as requested:
        assert not requested.is_set()
        signal.raise_signal(number)
        assert requested.is_set()
    assert signal.getsignal(number) is before


def test_outside_of_the_main_thread_no_handler_is_set() -> None:
    seen: list[bool] = []

    def work() -> None:
        with stop_requests() as requested:
            seen.append(requested.is_set())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_work_that_can_go_on_with_its_own_exit_code(
    number: signal.Signals, tmp_path: Path
) -> None:
    before = signal.getsignal(number)
    stopped = pytest.raises(InterruptedRunError, match="goes on where it was, in ")
    with stopped as raised, resumable(tmp_path):
        signal.raise_signal(number)
    assert raised.value.exit_code == 5
    assert signal.getsignal(number) is before


def test_without_a_folder_a_signal_does_what_it_did() -> None:
    with pytest.raises(KeyboardInterrupt), resumable(None):
        signal.raise_signal(signal.SIGINT)


def test_bfloat16_that_the_processor_emulates_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("torch")
    is_emulated = platform.machine() == "x86_64" and not has_fast_bfloat16()
    warn_of_emulation.cache_clear()
    for _ in range(2):
        warn_of_emulation("cpu", "float32")
        warn_of_emulation("cuda:0", "float32")
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == (
        ["float32"] if is_emulated else []
    )
