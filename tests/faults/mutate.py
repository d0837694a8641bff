"""Changes bytes at random, as damage, other programs and strangers do.

Takes: content, a seeded generator, words that a format knows. Gives: other content.
"""

import json
import random
from collections.abc import Callable, Sequence

NUMBERS = (
    b"-1", b"0", b"1", b"2147483648", b"-2147483649", b"9223372036854775808", b"1000000000",
    b"1e400", b"NaN", b"-Infinity", b"1.5", b"007", b"1" * 400,
)  # fmt: skip
BYTES = (
    b"\0", b"\xff", b"\n", b"\r", b"\t", b'"', b"<", b"&", b"{", b"[", b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
)  # fmt: skip
WORDS = (
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"&#0;", b"&#xD800;", b"<![CDATA[", b"]]>", b"<!--",
    b"\\ud800", b"\\u0000", "\u2028".encode(), "\u0085".encode(), b"..",
    b"/dev/zero", b"../../etc/passwd",
    b"-->", b"msgid", b"Content-Length: -5\r\n", b"Content-Encoding: gzip\r\n", b"\r\n\r\n",
)  # fmt: skip
VALUES: tuple[object, ...] = (
    None, True, -1, 0, 1.5, 10**9, 10**30, float("inf"), float("nan"), "", "x", "\ud800", "\0",
    "../x", "/dev/zero", [], {}, [9], {"a": 1}, [None], ["x"],
)  # fmt: skip

Change = Callable[[bytes, random.Random], bytes]


def mutate(content: bytes, generator: random.Random, others: Sequence[bytes]) -> bytes:
    """Changes content one to four times."""
    if content[:1] in (b"{", b"[") and generator.random() < 0.5:
        content = change_json(content, generator)
        if generator.random() < 0.7:
            return content
    for _ in range(generator.choice((1, 1, 1, 2, 3, 4))):
        change = generator.choice(CHANGES)
        content = change(content, generator)
    if generator.random() < 0.1:
        other = generator.choice(others)
        content = content[: _place(content, generator)] + other[_place(other, generator) :]
    return content


def change_json(content: bytes, generator: random.Random) -> bytes:
    """Replaces, drops or adds one value of a JSON text, at any depth."""
    try:
        value = json.loads(content)
    except ValueError:
        return content
    places: list[tuple[object, object]] = []
    pending = [value]
    while pending:
        inner = pending.pop()
        if isinstance(inner, dict):
            # A vocabulary of thousands must not hide the other settings.
            places += [(inner, key) for key in list(inner)[:40]]
            pending += list(inner.values())[:40]
        elif isinstance(inner, list):
            places += [(inner, index) for index in range(len(inner))][:40]
            pending += inner[:40]
    if not places:
        return json.dumps(generator.choice(VALUES)).encode()
    holder, place = generator.choice(places)
    if isinstance(holder, dict) and generator.random() < 0.2:
        del holder[place]
    else:
        holder[place] = generator.choice(VALUES)  # type: ignore[index]
    return json.dumps(value).encode()


def _place(content: bytes, generator: random.Random) -> int:
    return generator.randrange(len(content) + 1)


def _span(content: bytes, generator: random.Random) -> tuple[int, int]:
    start = _place(content, generator)
    size = generator.choice((1, 2, 4, 16, 64, 256, len(content)))
    return start, min(len(content), start + generator.randint(0, size))


def _flip(content: bytes, generator: random.Random) -> bytes:
    if not content:
        return content
    changed = bytearray(content)
    changed[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    return bytes(changed)


def _cut_off(content: bytes, generator: random.Random) -> bytes:
    return content[: _place(content, generator)]


def _cut_out(content: bytes, generator: random.Random) -> bytes:
    start, end = _span(content, generator)
    return content[:start] + content[end:]


def _repeat(content: bytes, generator: random.Random) -> bytes:
    start, end = _span(content, generator)
    times = generator.choice((1, 2, 50)) if end - start < 5000 else 1
    return content[:end] + content[start:end] * times + content[end:]


def _insert(content: bytes, generator: random.Random) -> bytes:
    place = _place(content, generator)
    what = generator.choice((generator.choice(BYTES), generator.choice(WORDS)))
    return content[:place] + what + content[place:]


def _overwrite(content: bytes, generator: random.Random) -> bytes:
    start, end = _span(content, generator)
    return content[:start] + generator.randbytes(end - start) + content[end:]


def _renumber(content: bytes, generator: random.Random) -> bytes:
    """Puts another number where one stands."""
    digits = [i for i, byte in enumerate(content[:100_000]) if 48 <= byte <= 57]
    if not digits:
        return content
    start = end = generator.choice(digits)
    while start and 48 <= content[start - 1] <= 57:
        start -= 1
    while end < len(content) and 48 <= content[end] <= 57:
        end += 1
    return content[:start] + generator.choice(NUMBERS) + content[end:]


def _swap_lines(content: bytes, generator: random.Random) -> bytes:
    lines = content.split(b"\n")
    first, second = generator.randrange(len(lines)), generator.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return b"\n".join(lines)


CHANGES: tuple[Change, ...] = (
    _flip, _cut_off, _cut_out, _repeat, _insert, _overwrite, _renumber, _swap_lines,
)  # fmt: skip
