"""xsim and xsim++: how often margin retrieval goes wrong, with and without near-misses.

Takes: an encoder and aligned sentences of two languages. Gives: error rates, source to target.
Source: Heffernan et al. 2022 (arXiv 2205.12654), xsim; Chen et al. 2023 (arXiv 2306.12907),
xsim++; facebookresearch/LASER, source/xsim.py: ratio margin, k = 4, errors matched by text.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labse.corpus.languages import canonical_tag
from labse.errors import UsageError
from labse.evaluation.aligned import AlignedLines
from labse.evaluation.embedded import embed_distinct
from labse.evaluation.near_misses import NearMiss, build_near_misses
from labse.evaluation.protocol import Encoder, build_signature, describe_length
from labse.evaluation.samples import Sample, build_sample
from labse.mining.margin import Margin, margin_scores
from labse.search.knn import mutual_neighbours

__all__ = ["XsimScore", "evaluate_xsim", "evaluate_xsim_files"]


@dataclass(frozen=True, slots=True)
class XsimScore:
    """Error rate from 0 to 1 of one pair of languages.

    Attributes:
        lang_pair: source and target, `deu-eng`.
        num_pairs: sentences asked for.
        num_near_misses: sentences added to the targets; 0 is xsim, more is xsim++.
        error: share of sources whose best target by margin has another text than the right one.
        kinds: of those errors that chose a near-miss, how many by its kind.
        signature: of the error.
        sample: 1 for each source that went wrong.
    """

    lang_pair: str
    num_pairs: int
    num_near_misses: int
    error: float
    kinds: tuple[tuple[str, int], ...]
    signature: str
    sample: Sample

    @property
    def metric(self) -> Literal["xsim_error", "xsimpp_error"]:
        """`xsimpp_error` with near-misses, else `xsim_error`."""
        return "xsimpp_error" if self.num_near_misses else "xsim_error"


def evaluate_xsim(
    encoder: Encoder,
    source: Sequence[str],
    target: Sequence[str],
    *,
    data: str,
    lang_pair: str,
    max_seq_length: int | None,
    near_misses: Sequence[NearMiss] = (),
    margin: Margin = "ratio",
    k: int = 4,
    block_rows: int = 2048,
    memory_bytes: int | None = None,
) -> XsimScore:
    """Scores one direction: every source looks for its target among all targets and near-misses.

    Two targets of equal text are the same target, as in LASER's comparison by text; among targets
    of equal score the nearer one counts, then the first of the file.

    Args:
        encoder: called with all distinct sentences, once unless memory is bounded.
        source: N sentences.
        target: their translations.
        data: name of the test data, for the signature.
        lang_pair: `deu-eng`, for the signature.
        max_seq_length: where the encoder cuts, for the signature; None if it does not.
        near_misses: of targets; one with the text of a target is left out.
        margin: see `margin_scores`.
        k: neighbours on each side.
        block_rows: bounds the memory of the search, see `mutual_neighbours`.
        memory_bytes: of vectors held at a time, see `embed_distinct`; None holds all.

    Raises:
        ValueError: unequal or no sentences, or a wrong option.
        LabseError: the encoder returned what is not one vector a sentence.
    """
    if len(source) != len(target) or not source:
        raise ValueError(f"expected aligned sentences, got {len(source)} and {len(target)}")
    known = set(target)
    added = [near_miss for near_miss in near_misses if near_miss.text not in known]
    pool = [*target, *(near_miss.text for near_miss in added)]
    embedded = embed_distinct(encoder, (source, pool), memory_bytes=memory_bytes)
    found = mutual_neighbours(
        embedded.select(source), embedded.select(pool), k, block_rows=block_rows
    )
    means = [
        side.similarities.mean(axis=1, dtype=np.float64) for side in (found.forward, found.backward)
    ]
    neighbours = found.forward.neighbours
    scores = margin_scores(
        found.forward.similarities, means[0][:, None], means[1][neighbours], margin
    )
    best = np.take_along_axis(neighbours, scores.argmax(axis=1)[:, None], axis=1)[:, 0]
    return _score(source, target, pool, best, added, data, lang_pair, margin, k, max_seq_length)


def evaluate_xsim_files(
    encoder: Encoder,
    files: Sequence[AlignedLines],
    target_lang: str,
    *,
    data: str,
    max_seq_length: int | None,
    per_kind: int = 3,
    seed: int = 1,
    margin: Margin = "ratio",
    k: int = 4,
    block_rows: int = 2048,
    memory_bytes: int | None = None,
) -> list[XsimScore]:
    """Scores every other language against the target language: xsim, then xsim++ of each.

    Args:
        encoder: called once, with all distinct sentences and near-misses.
        files: of a folder, the target language among them.
        target_lang: as its file is called, or another code of it.
        data: name of the test data, for the signature.
        max_seq_length: where the encoder cuts, for the signature; None if it does not.
        per_kind: near-misses of each kind that a sentence gets; 0 leaves xsim++ out.
        seed: chooses the numbers and names.
        margin: see `margin_scores`.
        k: neighbours on each side.
        block_rows: bounds the memory of the search.
        memory_bytes: of vectors held at a time, see `embed_distinct`; None holds all.

    Raises:
        UsageError: no file of the target language, or xsim++ where no near-miss can be written.
        ValueError: a wrong option.
        LabseError: the encoder returned what is not one vector a sentence.
    """
    tag = canonical_tag(target_lang)
    target = next((lines for lines in files if canonical_tag(lines.lang) == tag), None)
    if target is None:
        langs = " ".join(lines.lang for lines in files)
        raise UsageError(f"no file for the target {target_lang!r}; there are {langs}")
    added: list[NearMiss] = []
    if per_kind:
        added = build_near_misses(target.sentences, target.lang, per_kind=per_kind, seed=seed)
        if not added:
            raise UsageError(f"no near-misses can be written for {target.lang}; give 0 of them")
    texts = [near_miss.text for near_miss in added]
    sides = (texts, *(lines.sentences for lines in files))
    embedded = embed_distinct(encoder, sides, memory_bytes=memory_bytes)
    return [
        evaluate_xsim(
            embedded,
            lines.sentences,
            target.sentences,
            data=data,
            lang_pair=f"{lines.lang}-{target.lang}",
            max_seq_length=max_seq_length,
            near_misses=near_misses,
            margin=margin,
            k=k,
            block_rows=block_rows,
            memory_bytes=memory_bytes,
        )
        for lines in files
        if lines is not target
        for near_misses in ([(), added] if added else [()])
    ]


def _score(
    source: Sequence[str],
    target: Sequence[str],
    pool: Sequence[str],
    best: NDArray[np.int64],
    added: Sequence[NearMiss],
    data: str,
    lang_pair: str,
    margin: Margin,
    k: int,
    max_seq_length: int | None,
) -> XsimScore:
    is_wrong = np.array([pool[b] != text for b, text in zip(best.tolist(), target, strict=True)])
    kinds = Counter(added[b - len(target)].kind for b in best.tolist() if b >= len(target))
    metric = "xsimpp_error" if added else "xsim_error"
    fields: dict[str, str | int] = {
        "data": data,
        "lang_pair": lang_pair,
        "margin": margin,
        "k": k,
        "match": "text",
    }
    if added:
        fields["near_misses"] = "+".join(sorted({near_miss.kind for near_miss in added}))
        fields["num_near_misses"] = len(added)
    fields["max_seq_length"] = describe_length(max_seq_length)
    return XsimScore(
        lang_pair=lang_pair,
        num_pairs=len(source),
        num_near_misses=len(added),
        error=float(is_wrong.mean()),
        kinds=tuple(sorted(kinds.items())),
        signature=build_signature(metric, fields),
        sample=build_sample(f"{lang_pair} {metric}", [is_wrong], (*source, *pool)),
    )
