import signal
import threading

import pytest

from labse.training.stopping import stop_requests


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
