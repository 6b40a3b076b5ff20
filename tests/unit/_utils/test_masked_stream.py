"""Secrets in a text that comes in fragments and goes where nothing can be taken back."""

from __future__ import annotations

import io
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbretry._utils.redaction import MaskedStream, mask, mask_exception, remember_secret
from nbretry.answer import fold
from nbretry.events import AttemptStarted, AttemptSucceeded, FirstContent, RunCompleted, RunStarted, TextDelta
from nbretry.renderers.console import ConsoleRenderer
from nbretry.session.runlog import JsonLinesRenderer, read_events

SECRET = "correct-horse-battery-9"
SHAPED = "sk-" + "0a1b2c3d4e5f6g7h8i9j"
TEXT = f"Say sk to {SECRET}, then {SHAPED} and gsk or s."


def _cut(text: str, places: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(place % len(text) for place in places)})
    return [text[begin:end] for begin, end in itertools.pairwise(edges)]


@given(st.lists(st.integers(0, 1000), max_size=30))
def test_fragments_are_masked_like_the_whole(places: list[int]) -> None:
    """However a text is cut, what is shown of it is what masking the whole gives."""
    remember_secret(SECRET)
    stream = MaskedStream()
    shown = "".join(stream.feed(fragment) for fragment in _cut(TEXT, places)) + stream.flush()
    assert shown == mask(TEXT)
    assert SECRET not in shown
    assert SHAPED not in shown


def test_ordinary_text_is_not_held_back_for_long() -> None:
    """A word that begins no secret is shown as soon as the next one begins."""
    stream = MaskedStream()
    assert stream.feed("The sky is ").startswith("The sky")


@pytest.mark.parametrize("fragment", [1, 2, 5])
def test_no_view_that_appends_shows_a_secret(fragment: int) -> None:
    """Terminal and JSON lines have the secret in no form, and the log folds to the masked text."""
    remember_secret(SECRET)
    pieces = [TEXT[start : start + fragment] for start in range(0, len(TEXT), fragment)]
    events = [
        RunStarted(0.0, ("p",), "", "0"),
        AttemptStarted(1, "p", "", 0.0),
        FirstContent(1, 0.1),
        *(TextDelta(1, piece) for piece in pieces),
        AttemptSucceeded(1, "stop", 0.2),
        RunCompleted(0.2),
    ]
    out, err, log = io.StringIO(), io.StringIO(), io.StringIO()
    for paint in (ConsoleRenderer(out, err), JsonLinesRenderer(log)):
        for number in range(len(events)):
            paint(events[number], fold(events[: number + 1]))
    for text in (out.getvalue(), err.getvalue(), log.getvalue()):
        assert SECRET not in text
        assert SHAPED not in text
    assert mask(TEXT) in out.getvalue()
    assert fold(read_events(log.getvalue().splitlines())).text == mask(TEXT)
    assert all(json.loads(line)["event"] for line in log.getvalue().splitlines())


@pytest.mark.parametrize(
    "text",
    [
        "Bearer authentication",
        "api_key=os.environ['OPENAI_API_KEY']",
        "def f(api_key=None)",
        "HF_HUB_DISABLE_PROGRESS_BARS",
        "key_derivation_function_name",
        "key-value-store-database",
        "postgresql",
    ],
)
def test_ordinary_words_are_left_alone(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text about keys, and plain words that happen to be a password somewhere, are shown as they are."""
    monkeypatch.setenv("DB_PASSWORD", "postgres")
    assert mask(text) == text


def test_the_texts_of_an_exception_and_of_its_causes_are_masked() -> None:
    """After masking, neither an exception nor what caused it has the secret in its arguments."""
    remember_secret(SECRET)
    cause = ValueError(f"no entry {SECRET}", 7)
    error = RuntimeError(f"failed with {SECRET}")
    error.__cause__ = cause
    mask_exception(error)
    assert SECRET not in str(error)
    assert cause.args == ("no entry [secret]", 7)
