"""The routes as clients see them: right vectors, right shapes, and a sentence for what is wrong."""

import base64
import re
from collections.abc import Callable

import httpx
import numpy as np
import pytest
from tests.unit.serving.conftest import Call

from labse import SentenceEncoder

GERMAN = ["Das ist ein Hund.", "Wo ist der Bahnhof?", "", "Es regnet seit drei Tagen."]
ENGLISH = [
    "Where is the station?",
    "The museum is closed.",
    "It has been raining for three days.",
    "That is a dog.",
    "That is a dog.",
]
LONG = "Hund " * 500


def test_openai_embeddings_are_those_of_the_encoder(call: Call, encoder: SentenceEncoder) -> None:
    texts = ["Das ist ein Hund.", LONG, "Das ist ein Hund."]
    expected = encoder.encode(texts)
    answer = call("/v1/embeddings", {"input": texts, "model": "labse"})
    content = answer.json()
    rows = np.array([row["embedding"] for row in content["data"]], np.float32)
    np.testing.assert_allclose(rows, expected, atol=1e-6)
    assert [row["index"] for row in content["data"]] == [0, 1, 2]
    assert content["truncated"] == 1
    assert answer.headers["x-labse-truncated"] == "1"
    assert content["usage"] == {"prompt_tokens": 7 + 256 + 7, "total_tokens": 270}

    body = {"input": texts[0], "model": "labse", "encoding_format": "base64", "dimensions": 384}
    raw = base64.b64decode(call("/v1/embeddings", body).json()["data"][0]["embedding"])
    np.testing.assert_allclose(np.frombuffer(raw, "<f4"), expected[0], atol=1e-6)


def test_token_ids_of_tokenize_give_the_vector_of_the_text(
    call: Call, encoder: SentenceEncoder
) -> None:
    pieces = call("/tokenize", {"inputs": "Das ist ein Hund."}).json()[0]
    assert [piece["text"] for piece in pieces][1:3] == ["das", "ist"]
    ids = [piece["id"] for piece in pieces]
    for given in (ids, [ids]):
        answer = call("/v1/embeddings", {"input": given, "model": "labse"}).json()
        row = answer["data"][0]["embedding"]
        np.testing.assert_allclose(row, encoder.encode("Das ist ein Hund."), atol=1e-6)


def test_foreign_token_ids_are_refused_with_the_option_that_sends_text(call: Call) -> None:
    answer = call("/v1/embeddings", {"input": [[9906, 1917]], "model": "labse"})
    assert answer.status_code == 400
    assert "check_embedding_ctx_length=False" in answer.json()["error"]["message"]


def test_tei_embed_cuts_long_texts_only_if_it_is_told_to(call: Call) -> None:
    refused = call("/embed", {"inputs": ["a", LONG]})
    assert refused.status_code == 413
    assert refused.json()["error"].startswith("inputs.1: longer than the 256 tokens")
    cut = call("/", {"inputs": ["a", LONG], "truncate": True})
    assert np.array(cut.json()).shape == (2, 384)
    assert cut.headers["x-labse-truncated"] == "1"


def test_similarity_is_the_cosine(call: Call) -> None:
    inputs = {"source_sentence": GERMAN[0], "sentences": [ENGLISH[3], ENGLISH[1]]}
    dog, museum = call("/similarity", {"inputs": inputs}).json()
    assert dog > 0.8 > 0.3 > museum
    assert call("/", {"inputs": inputs}).json() == [dog, museum]


def test_mine_gives_what_the_command_does(call: Call) -> None:
    mined = call("/mine", {"source": GERMAN, "target": ENGLISH, "margin": "absolute"}).json()
    found = [(pair["source_line"], pair["target_line"]) for pair in mined["pairs"]]
    assert found == [(1, 4), (4, 3), (2, 1)]
    assert (mined["num_source"], mined["num_target"], mined["truncated"]) == (3, 4, 0)
    assert mined["start_score"] is None

    lines = call("/mine", {"source": GERMAN, "target": ENGLISH, "stream": True}).text.split("\n")
    assert lines[0] == '{"done":0,"total":9}'
    assert '"start_score":2.08' in lines[-2]


def test_score_is_zero_for_a_blank_side(call: Call) -> None:
    target = [ENGLISH[3], ENGLISH[0], "x", ENGLISH[2]]
    scored = call("/score", {"source": GERMAN, "target": target}).json()
    assert min(scored["cosines"][row] for row in (0, 1, 3)) > 0.5
    assert scored["cosines"][2] == scored["margin_scores"][2] == 0
    unequal = call("/score", {"source": GERMAN, "target": ENGLISH})
    assert "line i of one" in unequal.json()["error"]


def test_align_puts_each_line_into_one_bead(call: Call) -> None:
    source = ["Das ist ein Hund.", "Es regnet seit drei Tagen.", "Wo ist der Bahnhof?"]
    target = ["That is a dog.", "It has been raining for three days.", "Where is the station?"]
    beads = call("/align", {"source": source, "target": target}).json()["beads"]
    assert [(bead["source"], bead["target"]) for bead in beads] == [
        ([a], [b]) for a, b in zip(source, target, strict=True)
    ]


def test_pairs_become_a_translation_memory(call: Call) -> None:
    body = {"pairs": [["ein <b>", "a <b>"]], "source_lang": "de", "target_lang": "en"}
    assert '<tuv xml:lang="de"><seg>ein &lt;b&gt;</seg></tuv>' in call("/tmx", body).text
    assert call("/tmx", body | {"source_lang": "no such"}).status_code == 422


def test_review_orders_and_calibrate_suggests(call: Call) -> None:
    scores = [float(number) for number in range(40)]
    order = call("/review", {"scores": scores}).json()["order"]
    assert sorted(order) == list(range(40))
    assert len({number // 4 for number in order[:10]}) == 10

    labels = ["GOOD" if score >= 15 else "BAD" for score in scores]
    content = call("/calibrate", {"scores": scores, "labels": labels}).json()
    assert content["precision"] == 25 / 40
    assert content["fit"]["min_score"] == pytest.approx(9, abs=2)
    few = call("/calibrate", {"scores": [1.0], "labels": ["SKIP"]}).json()
    assert few["precision"] is None
    assert "too few" in few["reason"]


def test_the_state_of_the_server_is_told(call: Call) -> None:
    assert call("/health").json() == {"status": "ok"}
    assert call("/ready").json() == {"status": "ready", "model": "labse"}
    assert call("/info").json()["max_input_length"] == 256
    assert call("/v1/models").json()["data"][0]["id"] == "labse"
    assert call("/v1/models/labse").json()["object"] == "model"
    call("/embed", {"inputs": LONG, "truncate": True})
    page = call("/metrics").text
    for name in ("labse_truncated_total", "labse_batch_tokens_count", "labse_tokens_total"):
        assert float(re.search(rf"^{name} (\S+)$", page, re.MULTILINE)[1]) >= 1  # type: ignore[index]
    assert 'labse_requests_total{route="/embed",status="200"}' in page


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("/v1/embeddings", {"input": [], "model": "labse"}, 400, "input is empty"),
        ("/v1/embeddings", {"input": "a", "model": "gpt"}, 404, "no model 'gpt' here"),
        ("/v1/embeddings", {"input": "a", "model": "labse", "dimensions": 5}, 400, "have 384"),
        ("/v1/embeddings", {"input": ["a", 3], "model": "labse"}, 400, "input.1: Input should"),
        ("/v1/embeddings", {"input": "a"}, 400, "model: this field is missing"),
        ("/embed", {"inputs": ["a", ""]}, 422, "inputs.1: the text is empty"),
        ("/embed", {"inputs": ["a"] * 2049}, 413, "2,049 entries, at most 2,048"),
        ("/embed", {"inputs": "a", "normalize": False}, 422, "LaBSE ends in its norm"),
        ("/embed", {"inputs": "a", "prompt_name": "x"}, 422, "prompt_name 'x'"),
        ("/embed", {"inputs": "a", "surprise": 1}, 422, "surprise: there is no such field"),
        ("/mine", {"source": [" "], "target": ["a"]}, 422, "source: no line has text"),
        ("/mine", {"source": ["a"] * 20_001, "target": ["a"]}, 413, "at most 20,000"),
        ("/nothing", {}, 404, "nothing at this address"),
    ],
)
def test_a_wrong_request_gets_a_sentence(
    call: Call, path: str, body: object, status: int, sentence: str
) -> None:
    answer = call(path, body)
    content = answer.json()["error"]
    assert answer.status_code == status
    assert sentence in (content["message"] if path.startswith("/v1/") else content)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[" * 100_000, b'{"inputs": NaN}', b'{"inputs": "\\ud800"}', b"\xff\xfe", b"null"],
)
def test_what_is_no_json_is_refused(call: Call, body: bytes) -> None:
    answer = call("/embed", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["error"]


def test_a_full_queue_is_told_with_a_time(connect: Callable[..., Call]) -> None:
    small = connect(batch_tokens=1, max_queued_tokens=4, request_seconds=1e-6)
    answer: httpx.Response = small("/embed", {"inputs": ["a b c"] * 8})
    assert answer.status_code == 503
    assert "not done within" in answer.json()["error"]
    assert answer.headers["retry-after"] == "5"
