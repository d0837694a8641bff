"""The steps of cleaning, each a function from a shard to a shard.

Takes: paths of shards and plain arguments. Gives: files, and a summary that JSON can hold.
Source: docs/design.md: whatever runs them, the bytes are the same.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from labse.cleaning.bounds import BOUNDS, KEPT, find_reasons
from labse.cleaning.pair_scores import score_pair_texts
from labse.cleaning.quality import load_quality_model
from labse.cleaning.text_scores import score_texts
from labse.config import parse_config
from labse.corpus.records import UNKNOWN_LANG
from labse.corpus.shards import CorpusKind, column_names, cut_shards, read_shard, write_shard
from labse.corpus.tables import ColumnNames
from labse.errors import LabseError
from labse.files.atomic import sha256_file
from labse.runtime import require

if TYPE_CHECKING:
    import pyarrow

__all__ = ["cut_step", "decide_step", "score_step"]

_SIDES = ("source", "target")
_Columns = dict[str, "Sequence[object]"]


def cut_step(
    path: str,
    folder: str,
    *,
    origin: str,
    kind: CorpusKind,
    lang: str | None,
    target: str | None,
    langs: Sequence[str | None],
    rows_per_shard: int,
    columns: ColumnNames | None = None,
    skip_unknown: bool = False,
) -> dict[str, object]:
    """Cuts a file into shards, see `cut_shards`; tells their number and that of the rows."""
    cursor = cut_shards(
        path,
        Path(folder),
        origin=origin,
        kind=kind,
        lang=lang,
        target=target,
        langs=(langs[0], langs[1]),
        columns=columns,
        skip_unknown=skip_unknown,
        rows_per_shard=rows_per_shard,
    )
    return {"num_shards": cursor.num_shards, "num_rows": cursor.num_rows}


def score_step(
    shard: str, out: str, *, kind: CorpusKind, identify: bool, quality: str | None
) -> dict[str, object]:
    """Writes the normalised rows of a shard with a column for each score.

    A text of the unknown language `und` gets the language that was identified.

    Args:
        shard: the shard to read, with the columns of `kind`.
        out: the shard to write.
        kind: what the rows are.
        identify: whether to identify languages.
        quality: the folder of a quality model; None leaves its column out.

    Raises:
        LabseError: a broken shard or model.
        ResourceError: `out` cannot be written, or a package is missing.
    """
    table = read_shard(shard)
    columns = {name: table.column(name).to_pylist() for name in column_names(kind)}
    if kind == "mono":
        scored = _score_side(columns, "", identify, quality)
    else:
        scored = {}
        for side in _SIDES:
            scored |= _score_side(columns, f"{side}_", identify, quality)
        texts = (cast("list[str]", scored[side]) for side in _SIDES)
        scored |= cast("_Columns", score_pair_texts(*texts))
    write_shard(Path(out), scored)
    return {"num_rows": table.num_rows, "sha256": sha256_file(out)}


def decide_step(
    scored: str,
    sha256: str,
    kept: str,
    rejects: str | None,
    *,
    kind: CorpusKind,
    bounds: Mapping[str, object],
) -> dict[str, object]:
    """Writes the rows that the bounds keep, and counts rows by language and reason.

    Args:
        scored: a shard that `score_step` wrote.
        sha256: of that file when it was written.
        kept: the shard to write, which is there even if no row is kept.
        rejects: the shard of dropped rows with their reason and scores; None writes none.
        kind: what the rows are.
        bounds: the fields of `TextBounds` or `PairBounds`.

    Raises:
        LabseError: a shard that is broken or not what was written.
        ResourceError: a file cannot be written.
    """
    table = read_shard(scored)
    names = column_names(kind)
    if sha256_file(scored) != sha256 or not set(names) <= set(table.column_names):
        raise LabseError(
            f"{scored}: was changed or damaged since it was written; run labse corpus clean again"
        )
    limits = parse_config(BOUNDS[kind], bounds, where="bounds")
    scores = {
        name: table.column(name).to_numpy()
        for name in table.column_names
        if str(table.schema.field(name).type) == "float"
    }
    reasons = find_reasons(scores, limits)
    is_kept = reasons == KEPT
    write_shard(Path(kept), table.select(list(names)).filter(_mask(is_kept)))
    if rejects is not None:
        arrow = require("pyarrow", "corpus")
        dropped = arrow.array(reasons[~is_kept].tolist(), arrow.string())
        write_shard(Path(rejects), table.filter(_mask(~is_kept)).add_column(0, "reason", dropped))
    langs = [table.column(name).to_pylist() for name in names if name.endswith("lang")]
    rows = Counter(zip(*langs, reasons.tolist(), strict=True))
    counts = {("-".join(tags), reason): count for (*tags, reason), count in rows.items()}
    nested: dict[str, dict[str, int]] = {}
    for (lang, reason_name), count in sorted(counts.items()):
        nested.setdefault(lang, {})[reason_name] = count
    return {"num_rows": table.num_rows, "counts": nested}


def _score_side(
    columns: Mapping[str, list[str]], prefix: str, identify: bool, quality: str | None
) -> _Columns:
    """Scores one column of texts; `prefix` is that of its side, with an underscore."""
    text_name, lang_name = prefix.removesuffix("_") or "text", f"{prefix}lang"
    langs = columns[lang_name]
    result = score_texts(columns[text_name], langs, identify=identify)
    if quality is not None:
        result.scores["quality_prob"] = load_quality_model(quality).score(result.texts)
    named = zip(langs, result.identified_langs, strict=True)
    langs = [guess if lang == UNKNOWN_LANG else lang for lang, guess in named]
    return {
        lang_name: langs,
        text_name: result.texts,
        f"{prefix}identified_lang": result.identified_langs,
        **{f"{prefix}{name}": cast("Sequence[object]", v) for name, v in result.scores.items()},
    }


def _mask(is_chosen: NDArray[np.bool_]) -> "pyarrow.Array":
    arrow = require("pyarrow", "corpus")
    return arrow.array(is_chosen, arrow.bool_())
