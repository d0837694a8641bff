"""The report on a vocabulary: what it makes of the words of each language.

Takes: a vocabulary folder and counted words. Gives: rates for each language, shares of scripts.
Source: fertility and [UNK] rate as in Rust et al., ACL 2021, "How good is your tokenizer?".
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tokenizers import Tokenizer

from labse.corpus.statistics import script_name
from labse.errors import LabseError
from labse.files.atomic import read_json, write_atomic, write_json
from labse.runtime import require
from labse.vocab.tokenizer import CONTINUATION, SPECIAL_TOKENS, load_tokenizer

__all__ = [
    "PLOT_NAME",
    "REPORT_NAME",
    "LanguageRates",
    "VocabularyReport",
    "load_report",
    "measure_vocabulary",
    "plot_reports",
    "render_report",
    "save_report",
]

REPORT_NAME = "report.json"
PLOT_NAME = "report.png"

_BATCH_WORDS = 10_000
_MAX_SCRIPTS = 20


@dataclass(frozen=True, slots=True)
class LanguageRates:
    """What becomes of the words of one language, each as often as it occurs.

    Attributes:
        num_words: word tokens.
        unk_rate: the share of them that become [UNK].
        pieces_per_word: over all words; [UNK] is one piece.
        chars_per_piece: over the words that are known; None if there is none.
    """

    num_words: int
    unk_rate: float
    pieces_per_word: float
    chars_per_piece: float | None


@dataclass(frozen=True, slots=True)
class VocabularyReport:
    """A vocabulary measured on words.

    Attributes:
        langs: by tag, sorted.
        mean_pieces_per_word: over languages, each as heavy as another.
        mean_unk_rate: likewise.
        script_shares: the share of the pieces whose first letter is of a script, largest first;
            `symbols` are pieces without letters.
    """

    langs: dict[str, LanguageRates]
    mean_pieces_per_word: float
    mean_unk_rate: float
    script_shares: dict[str, float]


def measure_vocabulary(
    folder: str | Path, words: Iterable[tuple[str, dict[str, int]]]
) -> VocabularyReport:
    """Measures a vocabulary on words with their counts by language, as `iter_merged` yields them.

    Raises:
        LabseError: the folder is no vocabulary.
        ValueError: there is no word.
    """
    tokenizer = load_tokenizer(folder)
    sums = _Sums()
    batch: list[tuple[str, dict[str, int]]] = []
    for row in words:
        batch.append(row)
        if len(batch) == _BATCH_WORDS:
            sums.add(tokenizer, batch)
            batch = []
    sums.add(tokenizer, batch)
    langs = sums.rates()
    if not langs:
        raise ValueError("there is no word to measure the vocabulary on")
    pieces = [piece for piece in tokenizer.get_vocab() if piece not in SPECIAL_TOKENS]
    return VocabularyReport(
        langs,
        sum(rates.pieces_per_word for rates in langs.values()) / len(langs),
        sum(rates.unk_rate for rates in langs.values()) / len(langs),
        _script_shares(pieces),
    )


def save_report(path: str | Path, report: VocabularyReport) -> None:
    """Writes a report as JSON."""
    write_json(path, asdict(report))


def load_report(path: str | Path) -> VocabularyReport:
    """Loads what `save_report` wrote.

    Raises:
        LabseError: it is not there or no such report.
    """
    report = read_json(path)
    try:
        langs = {lang: LanguageRates(**rates) for lang, rates in report.pop("langs").items()}  # type: ignore[attr-defined]
        return VocabularyReport(langs, **report)  # type: ignore[arg-type]
    except (AttributeError, KeyError, TypeError) as error:
        raise LabseError(f"{path}: no report on a vocabulary ({error})") from None


def render_report(report: VocabularyReport) -> list[str]:
    """Returns the lines of two text tables: rates by language, then shares of the pieces by script.

    The last row of the first is the mean over languages.
    """
    row = "{:<10} {:>13} {:>8} {:>11} {:>11}".format
    lines = [row("language", "words", "[UNK] %", "pieces/word", "chars/piece")]
    for lang, rates in report.langs.items():
        chars = "-" if rates.chars_per_piece is None else f"{rates.chars_per_piece:.2f}"
        unk = f"{100 * rates.unk_rate:.3f}"
        lines.append(row(lang, f"{rates.num_words:,}", unk, f"{rates.pieces_per_word:.3f}", chars))
    mean_unk = f"{100 * report.mean_unk_rate:.3f}"
    lines.append(row("mean", "", mean_unk, f"{report.mean_pieces_per_word:.3f}", "").rstrip())
    lines += ["", "{:<24} {:>9}".format("script", "% pieces")]
    for script, share in report.script_shares.items():
        lines.append(f"{script:<24} {100 * share:>9.3f}")
    return lines


def plot_reports(reports: dict[str, VocabularyReport], out: str | Path) -> None:
    """Writes a PNG: pieces a word over languages and shares of scripts, a colour a vocabulary.

    Raises:
        ResourceError: matplotlib is not installed.
    """
    figure = require("matplotlib.figure", "plot").Figure(figsize=(10, 8), layout="constrained")
    upper, lower = figure.subplots(2, 1)
    scripts = list(dict.fromkeys(s for report in reports.values() for s in report.script_shares))
    scripts = scripts[:_MAX_SCRIPTS]
    width = 0.8 / max(len(reports), 1)
    for number, (name, report) in enumerate(reports.items()):
        rates = sorted((rates.pieces_per_word for rates in report.langs.values()), reverse=True)
        upper.plot(range(1, len(rates) + 1), rates, label=name)
        places = [place + number * width for place in range(len(scripts))]
        shares = [100 * report.script_shares.get(script, 0.0) for script in scripts]
        lower.bar(places, shares, width, label=name)
    upper.set_title("Pieces a word by language")
    upper.set_xlabel("rank of the language, the most pieces first")
    upper.set_ylabel("pieces a word")
    lower.set_xticks(range(len(scripts)), scripts, rotation=45, ha="right")
    lower.set_title("Pieces by script")
    lower.set_ylabel("% of the pieces")
    for axes in (upper, lower):
        axes.legend()
        axes.grid(alpha=0.3)
    with write_atomic(out) as stream:
        figure.savefig(stream, format="png", dpi=120)


class _Sums:
    def __init__(self) -> None:
        self._words: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()
        self._pieces: Counter[str] = Counter()
        self._chars: Counter[str] = Counter()

    def add(self, tokenizer: Tokenizer, rows: Sequence[tuple[str, dict[str, int]]]) -> None:
        unk = tokenizer.token_to_id("[UNK]")
        encodings = tokenizer.encode_batch_fast([w for w, _ in rows], add_special_tokens=False)
        for (word, counts), encoding in zip(rows, encodings, strict=True):
            num_pieces, is_unknown = len(encoding), encoding.ids == [unk]
            for lang, count in counts.items():
                self._words[lang] += count
                self._pieces[lang] += count * num_pieces
                self._unknown[lang] += count * is_unknown
                self._chars[lang] += 0 if is_unknown else count * len(word)

    def rates(self) -> dict[str, LanguageRates]:
        rates: dict[str, LanguageRates] = {}
        for lang, num_words in sorted(self._words.items()):
            known_pieces = self._pieces[lang] - self._unknown[lang]
            rates[lang] = LanguageRates(
                num_words,
                self._unknown[lang] / num_words,
                self._pieces[lang] / num_words,
                self._chars[lang] / known_pieces if known_pieces else None,
            )
        return rates


def _script_shares(pieces: Sequence[str]) -> dict[str, float]:
    counts = Counter(_script(piece.removeprefix(CONTINUATION) or piece) for piece in pieces)
    rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    return {script: count / len(pieces) for script, count in rows}


def _script(piece: str) -> str:
    return next((script_name(char) for char in piece if char.isalpha()), "symbols")
