"""Embeddings from an OpenAI-compatible endpoint."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from fairnad.error_bodies import read_error_text
from fairnad.errors import EndpointError, SettingsError
from fairnad.settings.search_settings import EmbeddingSettings

if TYPE_CHECKING:
    import openai

_BATCH_SIZE = 128
"""Texts per request; common servers refuse more than a few hundred."""
_TIMEOUT_SECONDS = 60.0
_MAX_RETRIES = 4
_MESSAGE_CHARACTERS = 300
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError)
"""Exceptions of reading a malformed body."""


class EndpointEmbedder:
    """An embedding model behind ``/embeddings``. The key is read from OPENAI_API_KEY.

    The client retries status 429, 5xx and broken connections up to four times.
    """

    def __init__(self, settings: EmbeddingSettings) -> None:
        """Nothing is sent yet.

        Raises:
            SettingsError: the base URL is invalid.
        """
        url = settings.base_url
        if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise SettingsError(f"--embedding.base-url: expected a URL such as http://localhost:8000/v1, found {url!r}")
        self._settings = settings
        self._key = os.environ.get("OPENAI_API_KEY", "")

    @property
    def name(self) -> str:
        """The name of the model, which determines the vectors."""
        return self._settings.model

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One vector per text: shape (num_texts, dimension of the model), float32.

        Raises:
            EndpointError: the endpoint does not answer, refuses the request, or sends no vectors.
        """
        batches = [self._embed(texts[start : start + _BATCH_SIZE]) for start in range(0, len(texts), _BATCH_SIZE)]
        if not batches:
            return np.zeros((0, 0), dtype=np.float32)
        if len({batch.shape[1] for batch in batches}) > 1:
            raise self._error("sends vectors of different lengths")
        return np.concatenate(batches)

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        if "_client" in self.__dict__:
            self._client.close()
            del self.__dict__["_client"]

    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        # Endpoints refuse empty texts.
        inputs = [text if text.strip() else "-" for text in texts]
        with self._endpoint_errors():
            reply = self._client.embeddings.with_raw_response.create(
                model=self._settings.model, input=inputs, encoding_format="float"
            )
        text = reply.http_response.text
        try:
            rows = {row.get("index", number): row["embedding"] for number, row in enumerate(json.loads(text)["data"])}
            vectors = np.array([rows[number] for number in range(len(texts))], dtype=np.float32)
        except _UNREADABLE as error:
            raise self._error(
                f"sends no embeddings ({read_error_text(text).message or 'an empty response'})"
            ) from error
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise self._error("sends vectors with numbers that are missing or not finite")
        return vectors

    @contextlib.contextmanager
    def _endpoint_errors(self) -> Iterator[None]:
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            reason = read_error_text(error.response.text).message or "no message"
            raise self._error(f"refuses ({error.status_code}: {reason})") from error
        except openai.APIError as error:
            raise self._error(f"does not answer: {error.__cause__ or error.message}") from error

    @cached_property
    def _client(self) -> openai.OpenAI:
        import openai

        return openai.OpenAI(
            base_url=self._settings.base_url or None,
            api_key=self._key or "none",
            timeout=_TIMEOUT_SECONDS,
            max_retries=_MAX_RETRIES,
        )

    def _error(self, what: str) -> EndpointError:
        line = " ".join(what.split())
        line = (line.replace(self._key, "…") if self._key else line)[:_MESSAGE_CHARACTERS]
        where = self._settings.base_url or "https://api.openai.com/v1"
        return EndpointError(
            f"embedding endpoint {where} (model {self._settings.model}) {line}; "
            "see --embedding.model and --embedding.base-url"
        )
