"""Vectors by an endpoint: batches, order, faults, and a key that is never told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fairnad.errors import EndpointError, SettingsError
from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea
from fairnad.ideas.idea_filter import IdeaFilter
from fairnad.settings.search_settings import EmbeddingSettings
from store.idea_store import ChromaIdeaStore
from tests.openai_server import Reply, ScriptedServer
from tools.endpoint_embedder import EndpointEmbedder

BUSY = Reply.error(429, "slow down", headers={"retry-after-ms": "1"})


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")


def by_length(text: str) -> Sequence[float]:
    return [float(len(text)), 1.0, 0.0]


def serve(*faults: Reply) -> ScriptedServer:
    return ScriptedServer(lambda request: Reply("none"), embed=by_length, embedding_faults=faults)


def embedder(server: ScriptedServer) -> EndpointEmbedder:
    return EndpointEmbedder(EmbeddingSettings(model="vectors", base_url=server.url))


def test_every_text_gets_its_own_vector_whatever_the_order_of_the_reply() -> None:
    with serve() as server:
        embed = embedder(server)
        texts = ["x" * (number % 17 + 1) for number in range(300)]
        vectors = embed(texts)
        assert (vectors.shape, vectors.dtype) == ((300, 3), np.float32)
        assert vectors[:, 0].tolist() == [len(text) for text in texts]
        assert [len(request["input"]) for request in server.embedded] == [128, 128, 44]
        assert {request["model"] for request in server.embedded} == {"vectors"}
        assert set(server.api_keys) == {"secret-key"}
        assert embed([]).shape == (0, 0)
        assert embed([" "]).tolist() == [[1, 1, 0]], "an empty text is not sent as one"
        embed.close()
        assert embed(["again"])[0, 0] == 5


def test_passing_faults_are_tried_again() -> None:
    with serve(BUSY, Reply.error(503, "starting"), BUSY) as server:
        assert embedder(server)(["abc"]).tolist() == [[3, 1, 0]]
        assert len(server.embedded) == 4


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ([Reply.error(401, "the key secret-key is unknown")], r"refuses \(401: .*the key … is unknown"),
        ([Reply.error(404, "no such model")], r"refuses \(404: "),
        ([BUSY] * 5, r"refuses \(429: "),
        ([Reply(status=400, body=b'{"error": "no memory left"}')], r"refuses \(400: no memory left\)"),
        ([Reply(status=422, body=b'{"detail": [{"loc": ["body"], "msg": "wrong"}]}')], r"\(422: body: wrong\)"),
        ([Reply(status=400, body=b"input is too large", content_type="text/plain")], r"\(400: input is too large\)"),
        ([Reply(status=403, body=b"<html><p>Blocked</p></html>", content_type="text/html")], r"\(403: Blocked\)"),
        ([Reply(body=b'{"error": {"message": "model is gone"}}')], r"sends no embeddings \(model is gone\)"),
        ([Reply.page("<html>hello</html>")], r"sends no embeddings \(hello\)"),
        ([Reply(body=b'{"data": [')], "sends no embeddings"),
        ([Reply(body=b'{"object": "list", "data": []}')], "sends no embeddings"),
        ([Reply(body=b'{"data": [{"index": 0, "embedding": [NaN]}]}')], "numbers that are missing or not finite"),
    ],
)
def test_an_endpoint_that_gives_no_vectors_is_named_in_one_line(faults: list[Reply], message: str) -> None:
    with serve(*faults) as server, pytest.raises(EndpointError, match=message) as caught:
        embedder(server)(["abc"])
    line = str(caught.value)
    assert line.startswith(f"embedding endpoint {server.url} (model vectors) ")
    assert line.endswith("; see --embedding.model and --embedding.base-url")
    assert "secret-key" not in line
    assert "\n" not in line


def test_vectors_of_different_lengths_are_refused() -> None:
    rows = [{"index": index, "embedding": [1.0] * 4} for index in range(128)]
    odd = Reply(body=json.dumps({"data": rows}).encode())
    with serve(odd) as server, pytest.raises(EndpointError, match="sends vectors of different lengths"):
        embedder(server)(["a"] * 130)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host/v1", "http://"])
def test_a_base_url_that_is_none_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(SettingsError, match=r"--embedding\.base-url: expected a URL"):
        EndpointEmbedder(EmbeddingSettings(model="vectors", base_url=url))


def test_an_endpoint_that_is_not_there_is_named() -> None:
    with serve() as server:
        url = server.url
    embed = EndpointEmbedder(EmbeddingSettings(model="vectors", base_url=url))
    embed._client.max_retries = 0
    with pytest.raises(EndpointError, match="does not answer"):
        embed(["abc"])


def test_a_store_searches_by_the_vectors_of_the_endpoint(tmp_path: Path) -> None:
    tag = Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation", "gelu")
    ideas = [Idea("w" * length, tag=tag) for length in (2, 9, 40)]
    with serve() as server:
        store = ChromaIdeaStore(tmp_path, ideas, embedder(server))
        assert [idea.text for idea, _ in store.search("x" * 50, IdeaFilter(subs=("gelu",)), limit=1)] == ["w" * 40]
        again = ChromaIdeaStore(tmp_path, ideas, embedder(server))
        assert again.is_indexed()
        assert [idea.text for idea, _ in again.search("x", limit=1)] == ["w" * 2]
        assert [len(request["input"]) for request in server.embedded] == [3, 1, 1], "ideas are embedded once"
