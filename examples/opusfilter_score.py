"""A filter of OpusFilter that scores pairs by cosine: pip install labse opusfilter.

In the YAML of OpusFilter: `- LabseFilter: {threshold: 0.5}` with `module: opusfilter_score`.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

from opusfilter import FilterABC

from labse import SentenceEncoder


class LabseFilter(FilterABC):
    """Keeps pairs whose two sentences have a cosine of at least `threshold`."""

    score_direction = 1
    accept_threshold = -1.0
    reject_threshold = 1.1

    def __init__(self, threshold: float = 0.5, **options: object) -> None:
        self.threshold = threshold
        self.encoder = SentenceEncoder.from_pretrained()
        super().__init__(**options)

    def score(self, pairs: Iterable[tuple[str, str]]) -> Iterator[float]:
        """Yields the cosine of each pair."""
        rows = iter(pairs)
        while batch := list(islice(rows, 1000)):
            source, target = (self.encoder.encode(side) for side in zip(*batch, strict=True))
            yield from self.encoder.similarity_pairwise(source, target).tolist()

    def accept(self, score: float) -> bool:
        """Says whether a pair of this score is kept."""
        return score >= self.threshold


if __name__ == "__main__":
    pairs = [
        ("Das ist ein Hund.", "That is a dog."),
        ("Das ist ein Hund.", "The museum is closed."),
    ]
    for pair in LabseFilter(threshold=0.5).filter(pairs):
        print("\t".join(pair))
