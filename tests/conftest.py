"""Small things that many tests build on; no network, no clock, no home directory."""

import os
import signal

import pytest
from hypothesis import settings

from labse.corpus.records import SentencePair

os.environ.setdefault("OMP_NUM_THREADS", "1")
# A busy machine is no fault of the program: no test has a bound on its time but the time-out.
# Examples are few, for each run draws new ones; `pytest --hypothesis-profile thorough` draws more.
settings.register_profile("labse", deadline=None, max_examples=30)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile("labse")

# What a shell starts in the background ignores Ctrl-C, and programs that the tests start would too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def tiny_pairs() -> list[SentencePair]:
    """Six pairs in four languages and three scripts, one of them an empty line."""
    return [
        SentencePair("Good morning.", "Guten Morgen.", "eng", "deu"),
        SentencePair("Thank you.", "Danke.", "eng", "deu"),
        SentencePair("Good morning.", "Доброе утро.", "eng", "rus"),
        SentencePair("Thank you.", "Спасибо.", "eng", "rus"),
        SentencePair("Thank you.", "谢谢。", "eng", "zho"),
        SentencePair("", "", "eng", "zho"),
    ]
