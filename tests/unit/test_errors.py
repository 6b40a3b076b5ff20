"""The error tree: its shape, what each error carries, and how it is shown."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import Any

import pytest

from nbretry import errors
from nbretry._utils.exceptions import describe, type_name
from nbretry.answer import failure_text
from nbretry.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigError,
    ContextLengthError,
    EmptyResponseError,
    NbretryError,
    NotFoundError,
    PermissionDeniedError,
    ProviderError,
    RateLimitError,
    RecordedError,
    RetryNoProviderError,
    RetryProviderError,
    ServerError,
    StreamError,
    StreamInterruptedError,
)
from nbretry.retry.classify import status_error

CLASSES = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}


def test_the_tree_is_as_drawn() -> None:
    """Each class stands in the drawing at the top of the module under the class that it derives from."""
    path: list[str] = []
    drawn = {}
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ([│├└─ ]*)(\w+Error)", line)
        if found:
            depth = len(found[1]) // 4
            path[depth:] = [found[2]]
            drawn[found[2]] = path[depth - 1] if depth else "Exception"
    public = {name for name in CLASSES if not name.startswith("_")} - {"RecordedError"}
    assert set(drawn) == public
    assert [name for name, base in drawn.items() if base not in [b.__name__ for b in CLASSES[name].__mro__[1:]]] == []


def test_every_class_is_public() -> None:
    """Every error class and function that others need is in ``__all__``, in order."""
    assert set(errors.__all__) >= {name for name in CLASSES if not name.startswith("_")}
    assert errors.__all__ == sorted(errors.__all__, key=lambda name: (name[0].islower(), name))


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "no", BadRequestError),
        (400, "This model's maximum context length is 128 tokens", ContextLengthError),
        (400, "prompt is too long: 9000 tokens", ContextLengthError),
        (401, "no", AuthenticationError),
        (402, "no", PermissionDeniedError),
        (403, "no", PermissionDeniedError),
        (404, "no", NotFoundError),
        (409, "no", APIStatusError),
        (413, "too large", ContextLengthError),
        (422, "no", BadRequestError),
        (422, "the context window is 128", ContextLengthError),
        (429, "too many tokens per minute", RateLimitError),
        (500, "no", ServerError),
        (503, "no", ServerError),
        (529, "overloaded", ServerError),
    ],
)
def test_a_status_has_its_class(status: int, message: str, kind: type[APIStatusError]) -> None:
    """`status_error` gives exactly the class of a status, with what was said about it."""
    error = status_error(status, message, provider="P", model="m", request_id="r", retry_after=2.0)
    assert type(error) is kind
    assert (error.status_code, error.provider, error.model, error.request_id) == (status, "P", "m", "r")
    assert error.retry_after == 2.0
    assert str(error) == message


@pytest.mark.parametrize(
    "kind",
    [ProviderError, APIConnectionError, APITimeoutError, StreamError, StreamInterruptedError, EmptyResponseError],
)
def test_a_provider_error_may_know_nothing(kind: type[ProviderError]) -> None:
    """What is not known of a provider's failure is None."""
    error = kind("no")
    found = (error.provider, error.model, error.retry_after, error.status_code, error.request_id)
    assert found == (None, None, None, None, None)


ALL = [
    NbretryError("no"),
    RetryProviderError("no", exceptions={"A": ValueError("a")}),
    RetryNoProviderError("no"),
    ConfigError("no"),
    RateLimitError("no", provider="P", status_code=429, retry_after=1.5),
    RecordedError("ValueError", "no", status_code=400),
]


@pytest.mark.parametrize("error", ALL, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
def test_errors_can_be_copied_and_pickled(error: NbretryError, again: Any) -> None:
    """A copy of an error, also one from another process, has its type, its text and what it carries."""
    other = again(error)
    assert type(other) is type(error)
    assert (str(other), repr(other)) == (str(error), repr(error))
    assert vars(other).keys() == vars(error).keys()


@pytest.mark.parametrize("kind", [RetryProviderError, RetryNoProviderError, ConfigError])
def test_ipython_shows_the_message_alone(kind: type[NbretryError]) -> None:
    """An error that ends a cell is shown as its name and its message, without the frames of the engine."""
    assert kind("what happened\nA: ValueError: no")._render_traceback_() == [  # type: ignore[attr-defined]
        f"{kind.__name__}: what happened\nA: ValueError: no"
    ]


def test_a_retry_provider_error_needs_no_run() -> None:
    """An error of `raise_exceptions`, made without a run, has no attempts and no answer."""
    error = RetryProviderError("no")
    assert (error.attempts, error.exceptions, error.answer) == ((), {}, None)


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("cannot say")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no"), "ValueError: no"),
        (ValueError(), "ValueError"),
        (ValueError("  "), "ValueError"),
        (KeyError("k"), "KeyError: 'k'"),
        (RecordedError("HTTPError", "no"), "HTTPError: no"),
        (Unspeakable(), "Unspeakable"),
        (OSError("no file \udce4 and \ud83d"), "OSError: no file ? and ?"),
    ],
)
def test_an_error_is_described_by_type_and_message(error: Exception, text: str) -> None:
    """`describe` gives ``Type: message``, the type alone where there is no message or none can be had."""
    assert describe(error) == text
    assert describe(error).startswith(type_name(error))


def test_each_failure_has_one_line() -> None:
    """A message of several lines becomes one line of the text."""
    text = failure_text("all failed", [("A", ValueError("one\ntwo\n\n  three")), ("B", KeyError("k"))])
    assert text.splitlines() == ["all failed:", "A: ValueError: one two three", "B: KeyError: 'k'"]
