"""The batcher: what it promises to many clients at once."""

import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, wait

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from labse.errors import LabseError
from labse.serving.batching import (
    Batcher,
    BatcherClosedError,
    DeadlinePassedError,
    InputIds,
    OverloadedError,
)


class Model:
    """Embeds ids as (their sum, their number); waits at a gate, and keeps what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[list[int]]] = []
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)

    def embed(self, input_ids: Sequence[InputIds]) -> NDArray[np.float32]:
        self.batches.append([ids.tolist() for ids in input_ids])
        self.entered.release()
        assert self.gate.wait(20)
        return np.array([[ids.sum(), len(ids)] for ids in input_ids], np.float32)


def start(model: Model, **options: float) -> Batcher:
    settings: dict[str, float] = {"batch_tokens": 8, "max_queued_tokens": 1000} | options
    return Batcher(model.embed, 2, **settings)  # type: ignore[arg-type]


def ids(*numbers: int) -> InputIds:
    return np.array(numbers, np.int32)


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=12), max_size=9)),
    st.integers(1, 3),
)
def test_every_row_of_every_request_is_its_own(requests: list[list[list[int]]], num: int) -> None:
    model = Model()
    model.gate.set()
    batcher = start(model, num_workers=num, max_queued_tokens=10**6)
    futures = [batcher.submit([ids(*row) for row in rows], timeout=20) for rows in requests]
    for rows, future in zip(requests, futures, strict=True):
        expected = np.array([[sum(row), len(row)] for row in rows], np.float32).reshape(-1, 2)
        np.testing.assert_array_equal(future.result(20), expected)
    batcher.close()
    assert batcher.num_tokens == batcher.num_waiting == 0
    for batch in model.batches:
        assert len(batch) == 1 or sum(map(len, batch)) <= 8 + 12
        assert len({tuple(row) for row in batch}) == len(batch), "equal texts are embedded once"


def test_a_small_request_does_not_wait_for_the_whole_of_a_large_one() -> None:
    model = Model()
    batcher = start(model)
    large = batcher.submit([ids(number, 0) for number in range(40)], timeout=20)
    assert model.entered.acquire(timeout=20)
    small = batcher.submit([ids(99)], timeout=20)
    model.gate.set()
    wait([large, small], 20)
    batcher.close()
    place = next(number for number, batch in enumerate(model.batches) if [99] in batch)
    assert place == 1
    assert len(model.batches) >= 10


def test_a_full_queue_says_when_to_come_again() -> None:
    model = Model()
    batcher = start(model, max_queued_tokens=8)
    futures = [batcher.submit([ids(number, 0)], timeout=20) for number in range(4)]
    with pytest.raises(OverloadedError) as refused:
        batcher.submit([ids(1)], timeout=20)
    assert refused.value.retry_after >= 1

    # A client that goes away frees its place at once.
    assert futures[-1].cancel()
    again = batcher.submit([ids(7)], timeout=20)
    model.gate.set()
    assert again.result(20).tolist() == [[7, 1]]
    batcher.close()
    assert not any([3, 0] in batch for batch in model.batches)


def test_a_request_that_would_wait_too_long_is_refused_at_once() -> None:
    model = Model()
    batcher = start(model, max_wait_seconds=0.0003)  # 10,000 tokens a second until it is measured.
    for number in range(2):
        batcher.submit([ids(number, 0)], timeout=20)
    with pytest.raises(OverloadedError):
        batcher.submit([ids(1)], timeout=20)
    model.gate.set()
    batcher.close()


def test_no_request_is_too_large_for_an_empty_queue() -> None:
    model = Model()
    model.gate.set()
    batcher = start(model, max_queued_tokens=8)
    rows = batcher.submit([ids(*range(30)), ids(1)], timeout=20).result(20)
    assert rows.tolist() == [[435, 30], [1, 1]]
    batcher.close()


def test_a_request_whose_time_is_over_is_not_computed() -> None:
    model = Model()
    batcher = start(model)
    batcher.submit([ids(1)], timeout=20)
    assert model.entered.acquire(timeout=20)
    late = batcher.submit([ids(2)], timeout=0)
    model.gate.set()
    with pytest.raises(DeadlinePassedError):
        late.result(20)
    batcher.close()
    assert model.batches == [[[1]]]


def test_what_waits_when_it_is_closed_is_answered() -> None:
    model = Model()
    batcher = start(model)
    futures = [batcher.submit([ids(number)], timeout=20) for number in range(5)]
    model.gate.set()
    batcher.close()
    assert [future.result(0).tolist() for future in futures] == [[[n, 1]] for n in range(5)]
    with pytest.raises(BatcherClosedError):
        batcher.submit([ids(1)], timeout=20)


def test_a_model_that_fails_fails_the_batch_and_not_the_next() -> None:
    faults = [ValueError("broken"), None]

    def embed(input_ids: Sequence[InputIds]) -> NDArray[np.float32]:
        if fault := faults.pop(0):
            raise fault
        return np.array([[len(row), np.nan if row[0] == 9 else 1] for row in input_ids], np.float32)

    batcher = Batcher(embed, 2, batch_tokens=8, max_queued_tokens=99)
    with pytest.raises(ValueError, match="broken"):
        batcher.submit([ids(1)], timeout=20).result(20)
    with pytest.raises(LabseError, match="NaN"):
        batcher.submit([ids(9)], timeout=20).result(20)
    batcher.close()


def test_cancelled_requests_leave_no_trace() -> None:
    model = Model()
    batcher = start(model)
    done = []
    first = batcher.submit([ids(1), ids(2)], timeout=20, on_done=done.append)
    assert model.entered.acquire(timeout=20)
    assert first.cancel()
    model.gate.set()
    batcher.close()
    with pytest.raises(CancelledError):
        first.result(0)
    assert batcher.num_tokens == 0
