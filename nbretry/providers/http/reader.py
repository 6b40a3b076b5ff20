"""Convert the bytes of an answer to chunks: what all protocols over server-sent events share, without any I/O."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from nbretry._utils.text import one_line
from nbretry.errors import APITimeoutError, ProviderError, StreamInterruptedError
from nbretry.providers.http.sse import EventDecoder
from nbretry.types import ResponseInfo

__all__ = ["AnswerReader"]


class AnswerReader:
    """Converter of the bytes of one answer to chunks. Subclasses define what an event means.

    Args:
        timeout: seconds without an event after which the answer counts as hanging. Comments that only keep the
            connection alive do not count as events, and neither do events that yield no chunk.

    Attributes:
        answering: whether the response has begun.
        finished: whether the provider has said that its answer is complete, or why it stopped.
        done: whether nothing more will come.
        request_id: the provider's identifier of the request; None if the response's headers have none.
    """

    def __init__(self, timeout: float) -> None:
        self.answering = False
        self.finished = False
        self.done = False
        self.request_id: str | None = None
        self._timeout = timeout
        self._decoder = EventDecoder()
        self._body: list[bytes] | None = None
        self._told = False
        self._failure: ProviderError | None = None
        self._events = 0
        self._last_news = time.monotonic()

    def begin(self, headers: Mapping[str, str]) -> None:
        """Read the response's headers.

        Raises:
            StreamInterruptedError: the response is an HTML page instead of an answer.
        """
        self.answering = True
        self.request_id = headers.get("x-request-id") or headers.get("request-id")
        self._last_news = time.monotonic()
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in ("text/html", "application/xhtml+xml"):
            raise StreamInterruptedError(
                "a page of HTML came in place of an answer: is the base URL right, and is there a page to log in first?"
            )
        if kind.endswith("json"):
            self._body = []

    def feed(self, data: bytes) -> list[Any]:
        """Return the chunks in the next bytes.

        If the stream reports an error, `done` is set and `end` raises the error.

        Raises:
            APITimeoutError: only comments, blank lines or empty events have come for too long.
        """
        if self._body is not None:
            self._body.append(data)
            if data.isspace():  # some servers send this before their JSON, to keep the connection alive
                self._check_time("nothing but blank lines")
            return []
        events = self._decoder.feed(data)
        chunks = self._chunks(events)
        if chunks or self.done:
            self._last_news = time.monotonic()
        else:
            self._check_time("nothing but empty events" if events else "nothing but keep-alive comments")
        return chunks

    def _check_time(self, what_came: str) -> None:
        if time.monotonic() - self._last_news > self._timeout:
            raise APITimeoutError(f"{what_came} came for {self._timeout:g} s")

    def resume(self) -> None:
        """Restart the timeout after the caller has used the chunks: the provider did not cause that delay."""
        self._last_news = time.monotonic()

    def end(self) -> list[Any]:
        """Return the last chunks, after the last byte.

        Raises:
            StreamInterruptedError: the answer is not complete, or contains something that is not an event.
            ProviderError: the provider reported an error in its answer.
        """
        if self._failure is not None:
            raise self._failure
        if self._body is not None:
            chunks = self._chunks_of_whole(_parse(b"".join(self._body)))
        else:
            chunks = [] if self.done else self._chunks(self._decoder.close())
            if self._failure is not None:
                raise self._failure
            if not self._events:
                raise StreamInterruptedError("the answer ended before it began: there was no event in the stream")
            if not self.finished:
                raise StreamInterruptedError("the stream ended without saying that the answer is complete")
        return [*chunks, *self._last_chunks()]

    def _chunks(self, events: list[bytes]) -> list[Any]:
        chunks: list[Any] = []
        for payload in events:
            if self.done:
                break
            self._events += 1
            if payload[:6] == b"[DONE]":
                self.finished = self.done = True
                break
            try:
                event = _parse(payload)
            except StreamInterruptedError as error:
                lines = payload.split(b"\n")
                if len(lines) > 1:
                    # Some servers end their events with one line break instead of two.
                    chunks += self._chunks(lines)
                    continue
                self._fail(error)
                break
            try:
                self._read(event, chunks)
            except ProviderError as error:
                self._fail(error)
            except (AttributeError, IndexError, KeyError, TypeError) as error:
                shown = one_line(payload.decode(errors="replace"), 60)
                failure = StreamInterruptedError(f"the answer holds an event of an unknown form: {shown}")
                failure.__cause__ = error
                self._fail(failure)
        return chunks

    def _fail(self, failure: ProviderError) -> None:
        """Keep a failure for `end` to raise, so that the text before it counts no matter how the bytes were split."""
        self._failure = failure
        self.done = True

    def _tell(self, chunks: list[Any], model: Any, identifier: Any) -> None:
        """Add a `ResponseInfo` that says who answers, but only once."""
        if not self._told:
            self._told = True
            chunks.append(
                ResponseInfo(
                    model=model if isinstance(model, str) and model else None,
                    request_id=self.request_id or (identifier if isinstance(identifier, str) else None),
                )
            )

    def _read(self, event: dict[str, Any], chunks: list[Any]) -> None:
        """Add the chunks of one event to ``chunks``."""
        raise NotImplementedError

    def _chunks_of_whole(self, answer: dict[str, Any]) -> list[Any]:
        """Return the chunks of an answer that came in one piece."""
        raise NotImplementedError

    def _last_chunks(self) -> list[Any]:
        """Return the chunks to add when the answer is complete."""
        raise NotImplementedError


_decode = json.JSONDecoder().raw_decode


def _parse(payload: bytes) -> dict[str, Any]:
    try:
        text = payload.decode("utf-8", "surrogatepass")
        if text[:1] != "{":
            text = text.strip()
        event, end = _decode(text)  # takes half the time of `json.loads`, which detects the encoding
        if end < len(text) and not text[end:].isspace():
            raise ValueError("there is more after the JSON")
    except (ValueError, RecursionError) as error:
        shown = one_line(payload[:200].decode(errors="replace"), 60)
        raise StreamInterruptedError(f"the answer holds something that is not JSON: {shown}") from error
    if not isinstance(event, dict):
        raise StreamInterruptedError(f"the answer holds JSON that is no object: {one_line(repr(event), 60)}")
    return event
