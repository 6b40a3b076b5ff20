"""No part of a secret is shown: known values, the environment's, and texts that look like keys."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbretry._utils import redaction
from nbretry._utils.exceptions import describe
from nbretry._utils.redaction import MASK, mask, remember_secret
from nbretry.answer import Answer
from nbretry.errors import (
    AuthenticationError,
    ConfigError,
    NbretryError,
    ProviderError,
    RecordedError,
    RetryNoProviderError,
    RetryProviderError,
)
from nbretry.events import AttemptFailed, RunFailed, TextDelta, to_json
from nbretry.providers import RetryProvider

SECRET = "correct-horse-battery"
KEY = "sk-proj-Ab0_" + "x1Y2z3" * 6


@pytest.fixture(autouse=True)
def _known_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", set())
    remember_secret(SECRET)


def pieces(secret: str) -> list[str]:
    """Every part of a secret of five characters: none of them may be seen."""
    return [secret[i : i + 5] for i in range(len(secret) - 4)]


@given(before=st.text(max_size=20), after=st.text(max_size=20))
def test_a_known_secret_is_replaced_whole(before: str, after: str) -> None:
    """Whatever stands around a secret, not a piece of it is left, and the text around it is."""
    text = mask(f"{before} {SECRET} {after}")
    assert not any(piece in text for piece in pieces(SECRET))
    assert MASK in text


def test_one_secret_within_another() -> None:
    """Where one secret begins with another, nothing of the longer one is left."""
    remember_secret(SECRET + "-staple")
    assert mask(f"<{SECRET}-staple> <{SECRET}>") == f"<{MASK}> <{MASK}>"


@pytest.mark.parametrize("value", [None, "", "short"])
def test_what_is_too_short_to_be_a_secret_is_passed_over(value: str | None) -> None:
    """No value, and values under eight characters, are not masked: ordinary text would be garbled."""
    remember_secret(value)
    assert mask("a short text") == "a short text"


@pytest.mark.parametrize(
    "name",
    [
        "OPENAI_API_KEY",
        "MY_APIKEY",
        "AWS_SECRET_ACCESS_KEY",
        "DJANGO_SECRET_KEY",
        "SSH_PRIVATE_KEY",
        "HF_TOKEN",
        "DB_PASSWORD",
        "db_password",
        "CLIENT_SECRET",
        "GOOGLE_CREDENTIALS",
    ],
)
def test_secrets_of_the_environment_are_masked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The value of an environment variable whose name says that it is a secret is masked, from then on."""
    assert mask("is plain-value-1") == "is plain-value-1"
    monkeypatch.setenv(name, "plain-value-1")
    assert mask("is plain-value-1") == f"is {MASK}"


@pytest.mark.parametrize("name", ["EDITOR_MODE", "KEYBOARD", "TOKENIZERS_PARALLELISM", "SECRETARY"])
def test_other_variables_are_not_masked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable whose name only resembles those is left alone."""
    monkeypatch.setenv(name, "ordinary-word")
    assert mask("an ordinary-word") == "an ordinary-word"


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        "sk-ant-api03-" + "aB3_" * 20,
        "gsk_" + "a1B2" * 12,
        "AIza" + "Sy0a1B2c3" * 4,
        "hf_" + "aB1" * 11,
        "ghp_" + "a1" * 18,
        "AKIA" + "ABCDEFGH12345678",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N",
    ],
)
def test_what_looks_like_a_key_is_masked(text: str) -> None:
    """The shapes of keys that services hand out are masked wherever they stand."""
    assert mask(f"({text})") == f"({MASK})"
    assert mask(f"wrong key: {text}, sorry") == f"wrong key: {MASK}, sorry"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Authorization: Bearer abcdef.123456~xyz", f"Authorization: Bearer {MASK}"),
        ("https://user:pa55word@host/v1", f"https://{MASK}@host/v1"),
        ("https://host/v1?key=abc123&alt=sse", f"https://host/v1?key={MASK}&alt=sse"),
        ("api_key=abc123, model=m", f"api_key={MASK}, model=m"),
        ("api-key: abc123", f"api-key: {MASK}"),
    ],
)
def test_what_stands_where_a_key_stands_is_masked(text: str, masked: str) -> None:
    """In headers, addresses and parameters the value is masked whatever it looks like."""
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    ["The sky is blue.", "https://host:8080/v1", "def key(x): return x", "task-oriented", "https://host/v1?keys=3"],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    """Text without a secret stays as it is."""
    assert mask(text) == text


@pytest.mark.parametrize("secret", [SECRET, KEY])
@pytest.mark.parametrize(
    "kind", [NbretryError, RetryProviderError, RetryNoProviderError, ConfigError, ProviderError, AuthenticationError]
)
def test_our_own_errors_never_show_a_secret(kind: type[NbretryError], secret: str) -> None:
    """Neither the text of an error nor its representation, arguments, description or traceback has the secret."""
    error = kind(f"wrong key {secret}!")
    shown = [str(error), repr(error), str(error.args), describe(error), *traceback.format_exception(error)]
    assert not [text for text in shown if secret in text]
    assert str(error) == f"wrong key {MASK}!"


def test_a_secret_that_becomes_known_later_is_masked_too() -> None:
    """An error made before its text was known to be secret does not show it afterwards."""
    error = ProviderError("wrong key tomorrow-it-is-one")
    remember_secret("tomorrow-it-is-one")
    assert str(error) == f"wrong key {MASK}"
    assert "tomorrow-it-is-one" not in repr(error)


@pytest.mark.parametrize("secret", [SECRET, KEY])
def test_events_as_json_never_show_a_secret(secret: str) -> None:
    """In JSON lines the texts and the messages of foreign exceptions are masked."""
    failure = ValueError(f"wrong key {secret}!")
    for event in (
        TextDelta(1, f"your key is {secret}"),
        AttemptFailed(1, failure, "stop", 0.0, 1.0),
        RunFailed(RecordedError("ValueError", f"wrong key {secret}!"), 1.0),
    ):
        line = json.dumps(to_json(event))
        assert secret not in line
        assert MASK in line


@pytest.mark.parametrize("secret", [SECRET, KEY])
def test_a_failed_run_never_shows_a_secret(secret: str, caplog: pytest.LogCaptureFixture) -> None:
    """A foreign exception with a key in its message leaves the key in no text, record or log of the run."""

    class Leaks:
        @staticmethod
        def create_completion(model: str, messages: object) -> Iterator[str]:
            raise ValueError(f"wrong key {secret}!")
            yield ""

    with caplog.at_level(logging.DEBUG), pytest.raises(RetryProviderError) as caught:
        asyncio.run(RetryProvider([Leaks]).answer("", "hello"))
    answer = caught.value.answer
    assert isinstance(answer, Answer)
    shown = [str(caught.value), repr(caught.value), json.dumps(answer.to_dict()), caplog.text, repr(answer)]
    shown += [str(attempt.error) for attempt in answer.attempts]
    assert not [text for text in shown if secret in text]
