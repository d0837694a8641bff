"""What people may say of a pair: a label a key, by the scheme of those who have done it before.

Takes: the name of a scheme. Gives: its keys and labels, and which of them count as GOOD.
Source: good-bad: Feng et al. 2020, section 3.1; paracrawl: the repository human-evaluations of
ParaCrawl; glance: Kreutzer et al. 2022, "Quality at a Glance", table 1.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from labse.errors import LabseError, UsageError

__all__ = ["SCHEMES", "SKIP", "Scheme", "choose_good", "find_scheme"]

SKIP = "SKIP"
"""The label of a pair that was shown and not judged; it counts nowhere."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """Labels and what each means.

    Attributes:
        name: of the scheme.
        keys: the label that each key gives.
        meanings: of each label, for people.
    """

    name: str
    keys: dict[str, str]
    meanings: dict[str, str]

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels, SKIP last."""
        return (*self.meanings, SKIP)

    def tell_keys(self) -> str:
        """Returns one line that says what each key does."""
        told = [f"{key} {self.meanings[label]}" for key, label in self.keys.items()]
        return ", ".join([*told, "s skip", "u undo", "q quit"])


_PARACRAWL = {
    "V": "valid",
    "F": "free",
    "MT": "machine translated",
    "E": "error in translation",
    "T": "wrong tokens",
    "A": "wrong alignment",
    "L": "wrong language",
}
_GLANCE = {
    "CC": "correct sentence",
    "CB": "correct boilerplate",
    "CS": "correct and short",
    "X": "wrong translation",
    "WL": "wrong language",
    "NL": "no language",
}
SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("good-bad", {"g": "GOOD", "b": "BAD"}, {"GOOD": "good", "BAD": "bad"}),
        Scheme("paracrawl", {label[0].lower(): label for label in _PARACRAWL}, _PARACRAWL),
        Scheme("glance", {str(n): label for n, label in enumerate(_GLANCE, start=1)}, _GLANCE),
    )
}


def find_scheme(name: str) -> Scheme:
    """Returns a scheme by name.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in SCHEMES:
        raise UsageError(f"--labels {name}: give one of {', '.join(SCHEMES)}")
    return SCHEMES[name]


def choose_good(labels: Iterable[str], good: Collection[str] | None) -> frozenset[str]:
    """Returns which of the labels that were found count as GOOD.

    Args:
        labels: all that stand in the ratings.
        good: those that are to count; None is GOOD, where the others are BAD.

    Raises:
        UsageError: a label to count that no scheme has, or None where there is a choice.
        LabseError: a label in the ratings that no scheme has.
    """
    found = {*labels} - {SKIP}
    fitting = [scheme for scheme in SCHEMES.values() if found <= {*scheme.labels}]
    if not fitting:
        known = "; ".join(", ".join(scheme.meanings) for scheme in SCHEMES.values())
        raise LabseError(f"labels {', '.join(sorted(found))}: not of one scheme ({known})")
    if good is None:
        if found <= {"GOOD", "BAD"}:
            return frozenset({"GOOD"})
        raise UsageError(
            f"the labels are {', '.join(sorted(found))}; say which of them count as good, such as "
            f"--good {','.join([*fitting[0].meanings][:3])}"
        )
    wanted = frozenset(label.strip().upper() for label in good)
    if unknown := sorted(wanted - {*fitting[0].meanings}):
        raise UsageError(f"--good {unknown[0]}: the labels are {', '.join(fitting[0].meanings)}")
    return wanted
