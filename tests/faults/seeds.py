"""A small file of every format, made by our own writers where there is one, and what reads it.

Takes: an empty folder. Gives: the content of each file, and the public function that reads it.
"""

import io
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tests.model_data import random_folder
from tests.unit.web.site import build_site, build_warc

from labse.cli import main
from labse.config import load_config
from labse.corpus.raw_text import read_raw
from labse.corpus.readers import read_pairs, read_texts
from labse.corpus.tmx import read_tmx
from labse.encoder.job.embeddings import describe_embeddings, open_embeddings, verify_embeddings
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import LabseError
from labse.files.npy import load_array
from labse.model_folder.folder import read_model_folder, write_model_folder
from labse.rating.ratings import read_gold_pairs, read_ratings
from labse.vocab.count_tables import open_tables
from labse.vocab.folder import learn_vocabulary
from labse.vocab.tokenizer import load_tokenizer

Read = Callable[[Path], object]


@dataclass(frozen=True)
class Seed:
    """A file to change, alone or in a folder.

    Attributes:
        name: of the format.
        file: its name, in `folder` if there is one.
        content: of the file.
        read: reads the changed file, or its folder.
        folder: what the file is part of; it is copied once, and the file is put back by each call.
        others: other files, of which parts are taken over.
    """

    name: str
    file: str
    content: bytes
    read: Read
    folder: Path | None = None
    others: tuple[bytes, ...] = field(default=(b"",))

    @property
    def may_be_packed(self) -> bool:
        return self.folder is None and not self.file.endswith((".npy", ".parquet"))

    def place_in(self, place: Path, content: bytes, packing: str) -> Path:
        """Writes the changed file; returns its path, or that of its folder."""
        place.mkdir(exist_ok=True)
        if self.folder is None:
            path = place / (self.file + packing)
            path.write_bytes(content)
            return path
        copy = place / self.name
        if self.name.startswith("work") or not copy.is_dir():
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(self.folder, copy)
        (copy / self.file).write_bytes(content)
        return copy


def build_seeds(place: Path) -> list[Seed]:
    """Makes the files in an empty folder."""
    place.mkdir(parents=True)
    with redirect_stdout(io.StringIO()):
        return [*_texts(), *_archives(), *_arrays(place), *_folders(place), *_settings()]


def _exhaust(values: Iterable[object]) -> None:
    for _ in values:
        pass


def _read_texts(path: Path) -> None:
    _exhaust(read_texts(path))


def _read_column(path: Path) -> None:
    _exhaust(read_texts(path, column="source"))


def _read_pairs(path: Path) -> None:
    _exhaust(read_pairs(path, drops=Counter()))


def _read_english_pairs(path: Path) -> None:
    _exhaust(read_pairs(path, source_lang="en", drops=Counter()))


def _read_tmx(path: Path) -> None:
    _exhaust(read_tmx(path, drops=Counter()))


def _read_raw(path: Path) -> None:
    _exhaust(read_raw(path, drops=Counter()))


def _run(*arguments: object) -> Read:
    """Returns what runs a command on the folder; `{}` stands for it."""

    def read(path: Path) -> None:
        code = main(["--quiet", *(str(argument).format(path) for argument in arguments)])
        if code not in (0, 2, 3, 4):
            raise AssertionError(f"exit code {code}")
        if code:
            raise LabseError(f"exit code {code}")

    return read


# ---- Text and pairs ----

PAIRS = [
    ("The dog sleeps.", "Der Hund schläft."),
    ("It rains.", "Es regnet."),
    ("", "Ja"),
    ("谢谢。", "Danke"),
]
TMX = """<?xml version="1.0" encoding="UTF-8"?>
<tmx version="1.4"><header srclang="en" segtype="sentence" datatype="plaintext"/><body>
<tu><tuv xml:lang="en"><seg>The <bpt i="1">b</bpt>dog<ept i="1"/> sleeps.</seg></tuv>
<tuv xml:lang="de"><seg>Der Hund &amp; schläft.</seg></tuv></tu>
<tu srclang="de"><tuv xml:lang="de-AT"><seg>Ja<ph x="1"/></seg></tuv>
<tuv xml:lang="fr"><seg>Oui</seg></tuv></tu>
</body></tmx>
"""
XLIFF = """<?xml version="1.0"?><xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">
<file source-language="en" target-language="de" original="a"><body><group><trans-unit id="1">
<source>The <g id="1">dog</g></source><target state="final">Der Hund</target></trans-unit>
<trans-unit id="2"><source>Yes</source></trans-unit></group></body></file></xliff>
"""
XLIFF_2 = """<xliff version="2.0" srcLang="en" trgLang="de"
xmlns="urn:oasis:names:tc:xliff:document:2.0"><file id="f"><unit id="u"><segment>
<source>Hi <ph id="1"/></source><target>Hallo</target></segment></unit></file></xliff>
"""
PO = """msgid ""
msgstr ""
"Language: de\\n"
"Content-Type: text/plain; charset=UTF-8\\n"

#, fuzzy
msgctxt "menu"
msgid "Open \\"it\\""
msgid_plural "Open %d"
msgstr[0] "Öffnen\\t"
msgstr[1] "Alle öffnen"

#~ msgid "old"
#~ msgstr "alt"
"""
SRT = """1
00:00:01,000 --> 00:00:02,500 X1:40
<i>Hello.</i>

2
00:00:03,000 --> 00:00:04,000
- Good
- morning.

"""
VTT = """WEBVTT - title

NOTE a
comment

STYLE
::cue { color: red }

id
00:01.000 --> 00:02.000 align:start
<v Bob>Hello &amp; <00:01.500>bye.

"""
DUMP = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" xml:lang="en"><siteinfo>
<namespaces><namespace key="6">File</namespace></namespaces></siteinfo><page><title>Dog</title>
<ns>0</ns><revision><model>wikitext</model><text>'''Dogs''' are [[animal|animals]].
{{cite|a={{b}}}} &lt;ref&gt;x&lt;/ref&gt;
== Head ==
* [[File:a.png|thumb|text]] {| class="a" \n|-\n| cell \n|} The dog sleeps well today.</text>
</revision></page></mediawiki>
"""


def _texts() -> list[Seed]:
    def table(join: str, head: bool = True) -> bytes:
        rows = [("source", "target", "source_lang", "target_lang")] if head else []
        rows += [(*pair, "en", "de") for pair in PAIRS]
        return "\n".join(join.join(row) for row in rows).encode() + b"\n"

    objects = "".join(
        f'{{"source": "{s}", "target": "{t}", "source_lang": "en", "target_lang": "de"}}\n'
        for s, t in PAIRS
    )
    made: list[tuple[str, str, str | bytes, Read]] = [
        ("text", "a.txt", "Guten Morgen.\r\n\n谢谢。\nZeile\u2028drei\n", _read_texts),
        ("tsv", "a.tsv", table("\t"), _read_pairs),
        ("tsv", "a.tsv", table("\t"), _read_column),
        ("jsonl", "a.jsonl", objects, _read_pairs),
        ("jsonl", "a.jsonl", objects, _read_column),
        ("tmx", "a.tmx", TMX, _read_tmx),
        ("xliff", "a.xlf", XLIFF, _read_texts),
        ("xliff", "a.xlf", XLIFF_2, _read_pairs),
        ("po", "a.po", PO, _read_texts),
        ("po", "a.po", PO, _read_english_pairs),
        ("srt", "a.srt", SRT, _read_texts),
        ("vtt", "a.vtt", VTT, _read_texts),
        ("wiki", "a.xml", DUMP, _read_raw),
        ("gold", "gold.tsv", table("\t", head=False), read_gold_pairs),
        ("ratings", "r.tsv", "score\tlabel\tsource\n0.5\tgood\ta\n0.2\tbad\tb\n", read_ratings),
    ]
    return [
        Seed(name, file, content.encode() if isinstance(content, str) else content, read,
             others=(XLIFF.encode(), TMX.encode(), DUMP.encode()))
        for name, file, content, read in made
    ]  # fmt: skip


def _archives() -> list[Seed]:
    warc = build_warc(build_site()[:4])
    text = "Der Hund schläft.\nJa.\n".encode()
    head = "WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: http://a.de/\r\n"
    head += "WARC-Identified-Content-Language: deu,eng\r\n"
    head += f"Content-Length: {len(text)}\r\n\r\n"
    wet = head.encode() + text + b"\r\n\r\n"
    return [
        Seed("warc", "a.warc", warc, _read_raw, others=(wet,)),
        Seed("wet", "a.wet", wet * 2, _read_raw, others=(warc,)),
    ]


# ---- Arrays and tables of bytes ----


def _arrays(place: Path) -> list[Seed]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    np.save(place / "a.npy", np.tile(np.eye(4, dtype=np.float32), (2, 1)))
    sides = list(zip(*PAIRS, strict=True))
    columns = {"source": sides[0], "target": sides[1]}
    columns |= {"source_lang": ["en"] * 4, "target_lang": ["de"] * 4}
    pq.write_table(pa.table(columns), place / "a.parquet")
    array, table = (place / "a.npy").read_bytes(), (place / "a.parquet").read_bytes()
    return [
        Seed("npy", "a.npy", array, lambda path: np.asarray(load_array(path)).sum()),
        Seed("npy", "a.npy", array, _read_npy_embeddings),
        Seed("parquet", "a.parquet", table, _read_pairs, others=(table[::-1],)),
        Seed("parquet", "a.parquet", table, _read_column, others=(table[::-1],)),
    ]


def _read_npy_embeddings(path: Path) -> None:
    open_embeddings(path)[:3]
    verify_embeddings(path)


# ---- Folders ----


def _folders(place: Path) -> list[Seed]:
    lines = "The dog sleeps.\nIt rains every day.\nThe dog sleeps.\nGood morning.\n"
    (place / "t.txt").write_text(lines * 5)
    (place / "u.txt").write_text("Good morning.\nThe dog sleeps.\n")
    head, row = "source\ttarget\tsource_lang\ttarget_lang\n", "The dog\tDer Hund\teng\tdeu\n"
    (place / "p.tsv").write_text(head + row * 40)
    learn_vocabulary([place / "p.tsv"], place / "vocab", vocab_size=90, min_count=1)
    sizes = {"hidden_size": 16, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 24, "max_position_embeddings": 32}
    options = {"max_seq_length": 32, "pooling": "mean"}
    for name, layers in (("model", 0), ("stranger", 0), ("layers", 1)):
        own = {**sizes, "num_hidden_layers": layers}
        built = random_folder(place / "vocab", own, seed=7, scale=0.3, **options)
        write_model_folder(place / name, built, vocab_folder=place / "vocab", manifest={"seed": 7})
        if name != "model":
            (place / name / "manifest.json").unlink()  # As of a stranger: nothing has a hash.
    texts = f"{place}/t.txt {place}/u.txt --model {place}/model"
    commands = [
        f"encode {place}/t.txt --model {place}/model --out {place}/vectors --shard-rows 8",
        f"vocab {place}/t.txt --lang en --counts {place}/counts",
        f"corpus clean {place}/t.txt --lang en --no-language-id --out {place}/clean",
        f"mine {texts} --work {place}/work --out {place}/mined.tsv",
    ]
    for command in commands:
        if main(["--quiet", *command.split()]):
            raise SystemExit(f"{command}: no seed")

    def of(name: str, folder: str, read: Read, *files: str) -> list[Seed]:
        root = place / folder
        names = [str(path.relative_to(root)) for path in sorted(root.rglob("*")) if path.is_file()]
        chosen = [file for file in names if not files or file in files]
        return [Seed(f"{name}-{n}", file, (root / file).read_bytes(), read, root)
                for n, file in enumerate(chosen) if not file.endswith(".lock")]  # fmt: skip

    mine = ("mine", *texts.split(), "--work", "{}", "--out", place / "mined.tsv")
    return [
        *of("vocab", "vocab", load_tokenizer, "vocab.txt", "tokenizer.json"),
        *of("model", "stranger", _encode),
        *of("layers", "layers", read_model_folder),
        *of("own-model", "model", _encode, "manifest.json"),
        *of("vectors", "vectors", _verify),
        *of("counts", "counts", open_tables),
        *of("workclean", "clean", _run("corpus", "decide", "{}")),
        *of("work", "work", _run(*mine)),
    ]


def _encode(path: Path) -> None:
    encoder = SentenceEncoder.from_pretrained(path, threads=1)
    encoder.encode(["The dog sleeps.", "", "Ja \U0001f600"])


def _verify(path: Path) -> None:
    describe_embeddings(path)
    open_embeddings(path)[:3]
    verify_embeddings(path)


# ---- Settings ----


def _settings() -> list[Seed]:
    from labse.dual_encoder.config import RunConfig

    toml = b'[data]\npairs = ["p.tsv"]\n[model]\nmax_seq_length = 20\n[model.bert]\n'
    toml += b"hidden_size = 24\n[train]\nlr = 1e-3\ntrain_steps = 5\n"
    return [Seed("toml", "a.toml", toml, lambda path: load_config(RunConfig, path))]
