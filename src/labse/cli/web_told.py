"""What the commands `labse web ...` print of their work."""

from collections.abc import Mapping
from pathlib import Path

from labse.cli.console import say
from labse.web.beads import WebBeads
from labse.web.bitext import WebBitext
from labse.web.mine import WebMined
from labse.web.pages import WebPages
from labse.web.pairs import WebPairs

__all__ = ["tell_beads", "tell_bitext", "tell_mined", "tell_pages", "tell_pairs"]


def tell_pages(done: WebPages) -> None:
    """Prints what became of pages."""
    say(f"pages: {done.num_pages:,} of {done.num_sites:,} sites; {_list(done.langs)}")
    _tell_drops(done.drops)


def tell_pairs(done: WebPairs) -> None:
    """Prints what became of document pairs."""
    say(f"document pairs: {_list(done.num_pairs)}; {_list(done.signals)}")
    _tell_drops(done.drops)
    _tell_drops(done.rejects, "no pair")


def tell_beads(done: WebBeads) -> None:
    """Prints what became of the beads of pages."""
    say(f"sentence pairs: {_list(done.num_beads)}")
    _tell_drops(done.drops)


def tell_mined(done: WebMined) -> None:
    """Prints what was mined without documents."""
    say(f"sentences: {_list(done.num_sentences)}")
    bounds = ", ".join(f"{langs} {bound:.2f}" for langs, bound in done.min_scores.items())
    say(f"sentence pairs: {_list(done.num_beads)}; least margin score: {bounds}")
    _tell_drops(done.drops)


def tell_bitext(done: WebBitext, out: Path) -> None:
    """Prints what became of a release."""
    _tell_drops(done.drops)
    say(f"{out}: {_list(done.num_pairs)} of {done.num_beads:,} sentence pairs")


def _tell_drops(drops: Mapping[str, int], label: str = "left out") -> None:
    for reason, number in drops.items():
        if number:
            say(f"  {label}: {number:,} ({reason})")


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items() if number) or "none"
