"""What the server counts, in the text format of Prometheus.

Takes: requests, batches, the queue. Gives: the page `/metrics`.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Metrics"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_TOKENS = (16, 64, 256, 512, 1024, 2048, 4096, 8192, 16384)


class Metrics:
    """Counters of one server; several may live in one process."""

    def __init__(self) -> None:
        """Makes the counters, in a registry of their own."""
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "labse_requests",
            "Requests by route and status.",
            ["route", "status"],
            registry=registry,
        )
        self._turned_away = self._requests.labels("other", "429")
        self._latency = Histogram(
            "labse_request_seconds",
            "Seconds from the head of a request to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._tokens = Counter("labse_tokens", "Tokens of all requests.", registry=registry)
        self._sentences = Counter("labse_sentences", "Sentences of requests.", registry=registry)
        self._truncated = Counter(
            "labse_truncated", "Sentences that were cut to the model's length.", registry=registry
        )
        self._batch_sentences = Histogram(
            "labse_batch_sentences", "Sentences of a batch.", buckets=_SIZES, registry=registry
        )
        self._batch_tokens = Histogram(
            "labse_batch_tokens", "Tokens of a batch.", buckets=_TOKENS, registry=registry
        )
        self._batch_seconds = Histogram(
            "labse_batch_seconds", "Seconds of a batch.", buckets=_SECONDS, registry=registry
        )

    def watch(self, name: str, help: str, value: Callable[[], float]) -> None:
        """Adds a number that is read when the page is asked for."""
        Gauge(name, help, registry=self._registry).set_function(value)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Counts an answer; 499 is a client that went away."""
        self._requests.labels(route, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def count_turned_away(self) -> None:
        """Counts a request too many, of which nothing was read."""
        self._turned_away.inc()

    def count_sentences(self, num_sentences: int, num_tokens: int, num_truncated: int) -> None:
        """Counts what a request brings."""
        self._sentences.inc(num_sentences)
        self._tokens.inc(num_tokens)
        self._truncated.inc(num_truncated)

    def count_batch(self, num_sentences: int, num_tokens: int, seconds: float) -> None:
        """Counts a batch."""
        self._batch_sentences.observe(num_sentences)
        self._batch_tokens.observe(num_tokens)
        self._batch_seconds.observe(seconds)

    def render(self) -> bytes:
        """Returns the page."""
        return generate_latest(self._registry)
