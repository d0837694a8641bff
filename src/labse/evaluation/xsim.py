"""xsim and xsim++: how often margin retrieval goes wrong, with and without near-misses.

Takes: an encoder and aligned sentences. Gives: error rates, source to target, and a report.
Source: Heffernan et al. 2022 (arXiv 2205.12654), xsim; Chen et al. 2023 (arXiv 2306.12907),
xsim++; facebookresearch/LASER, source/xsim.py: ratio margin, k = 4, errors matched by text.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from labse.corpus.languages import canonical_tag
from labse.encoder.protocol import Encoder
from labse.errors import UsageError
from labse.evaluation.datasets import AlignedLines
from labse.evaluation.embedded import embed_distinct
from labse.evaluation.near_misses import NearMiss, build_near_misses
from labse.evaluation.pictures import Bar
from labse.evaluation.report import Report, Score, Table, build_signature, format_percent
from labse.evaluation.significance import Sample, build_sample
from labse.mining.margin import Margin, best_neighbours
from labse.search.knn import mutual_neighbours

__all__ = ["XsimScore", "build_xsim_report", "evaluate_xsim", "evaluate_xsim_files"]

_NAMES = {"xsim_error": "xsim", "xsimpp_error": "xsim++"}
_DETAILS = ("lang_pair", "metric", "error", "num_pairs", "num_near_misses")


@dataclass(frozen=True, slots=True)
class XsimScore:
    """Error rate from 0 to 1 of one pair of languages.

    Attributes:
        lang_pair: source and target, `deu-eng`.
        num_pairs: sentences asked for.
        num_near_misses: sentences added to the targets; 0 is xsim, more is xsim++.
        error: share of sources whose best target by margin has another text than the right one.
        kinds: numbers of errors that chose a near-miss, by its kind.
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
        data: name of the test data, for the signature.
        lang_pair: such as `deu-eng`, for the signature.
        near_misses: near-misses of targets; one with the text of a target is left out.
        margin: formula of the score, see `margin_scores`.
        block_rows: rows that bound the memory of the search, see `mutual_neighbours`.
        memory_bytes: bytes of vectors held at a time, see `embed_distinct`.

    Raises:
        ValueError: unequal or no sentences, or a wrong option.
        LabseError: the encoder returned what is not one vector a sentence.
    """
    if len(source) != len(target) or not source:
        raise ValueError(f"expected aligned sentences, got {len(source)} and {len(target)}")
    known = set(target)
    added = [near_miss for near_miss in near_misses if near_miss.text not in known]
    pool = [*target, *(near_miss.text for near_miss in added)]

    # Each source takes the target with the best margin score: is its text the right one?
    embedded = embed_distinct(encoder, (source, pool), memory_bytes=memory_bytes)
    found = mutual_neighbours(
        embedded.select(source), embedded.select(pool), k, block_rows=block_rows
    )
    chosen = best_neighbours(found.forward, found.backward, margin)[0].tolist()
    is_wrong = np.array([pool[row] != text for row, text in zip(chosen, target, strict=True)])
    kinds = Counter(added[row - len(target)].kind for row in chosen if row >= len(target))

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
    return XsimScore(
        lang_pair=lang_pair,
        num_pairs=len(source),
        num_near_misses=len(added),
        error=float(is_wrong.mean()),
        kinds=tuple(sorted(kinds.items())),
        signature=build_signature(metric, fields, encoder),
        sample=build_sample(f"{lang_pair} {metric}", [is_wrong], (*source, *pool)),
    )


def evaluate_xsim_files(
    encoder: Encoder,
    files: Sequence[AlignedLines],
    target_lang: str,
    *,
    data: str,
    per_kind: int = 3,
    seed: int = 1,
    margin: Margin = "ratio",
    k: int = 4,
    block_rows: int = 2048,
    memory_bytes: int | None = None,
) -> list[XsimScore]:
    """Scores every other language against the target language: xsim, then xsim++ of each.

    Args:
        files: the lines of each language, the target language among them.
        target_lang: the target language, by the code of its file or any other.
        per_kind: near-misses of each kind that a sentence gets; 0 leaves xsim++ out.
        seed: seed of the numbers and names that are swapped in.

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


# ---- for people ------------------------------------------------------------------------------


def build_xsim_report(data: str, scores: Sequence[XsimScore]) -> Report:
    """Returns one row a pair and metric, with the kinds of near-misses that fooled the encoder."""
    kinds = sorted({kind for score in scores for kind, _ in score.kinds})
    means = [mean for metric in _NAMES if (mean := _mean(metric, scores)) is not None]
    rows: list[tuple[str, ...]] = []
    for score in scores:
        chosen = dict(score.kinds)
        counts = [str(chosen.get(kind, 0)) if score.num_near_misses else "" for kind in kinds]
        numbers = (f"{score.num_pairs:,}", f"{score.num_near_misses:,}")
        error = format_percent(score.error)
        rows.append((score.lang_pair, _NAMES[score.metric], *numbers, error, *counts))
    for mean in means:
        blanks = ("" for _ in kinds)
        rows.append(("mean", _NAMES[mean.metric], "", "", format_percent(mean.value), *blanks))

    details = (
        {name: getattr(each, name) for name in _DETAILS} | {"kinds": dict(each.kinds)}
        for each in scores
    )
    headers = ("pair", "metric", "pairs", "near-misses", "error", *kinds)
    note = "the last columns count the errors in which a near-miss was chosen, by its kind"
    return Report(
        data=data,
        metric="error",
        scores=(*means, *map(_quote, scores)),
        tables=(Table(f"{data}, error in percent: lower is better", headers, tuple(rows), 2),),
        samples=tuple(each.sample for each in scores),
        bars=tuple(
            Bar(
                f"{each.lang_pair} {_NAMES[each.metric]}",
                each.lang_pair.partition("-")[0],
                each.error,
            )
            for each in scores
        ),
        notes=(note,) if kinds else (),
        details={"rows": list(details)},
    )


def _quote(score: XsimScore) -> Score:
    names = (score.sample.name,)
    return Score(score.lang_pair, score.metric, score.error, score.signature, names)


def _mean(metric: str, scores: Sequence[XsimScore]) -> Score | None:
    """Returns the mean over pairs; its signature names them all."""
    chosen = [score for score in scores if score.metric == metric]
    if len(chosen) < 2:
        return None
    pairs = "+".join(score.lang_pair for score in chosen)
    first = chosen[0].signature
    signature = first.replace(f"|lang_pair:{chosen[0].lang_pair}|", f"|lang_pair:{pairs}|")
    value = sum(score.error for score in chosen) / len(chosen)
    return Score("mean", metric, value, signature, tuple(score.sample.name for score in chosen))
