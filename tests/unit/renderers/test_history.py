"""Conversations as a table and as a text: readable, and harmless whatever was said."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page import Page
from talks import IMAGE, KEY, ODD_TEXTS, SECRET, said, stopped, store, talk

from nbretry._utils.redaction import remember_secret
from nbretry.prompts.conversations import Conversation
from nbretry.prompts.turn import Turn
from nbretry.renderers.history import conversation_html, conversation_text, history_html, history_text
from nbretry.session.question import Question
from nbretry.types import Content


@pytest.fixture(autouse=True)
def known_secret() -> None:
    remember_secret(SECRET)


HOSTILE = "<script>alert('x')</script><img src=x onerror=y> ![i](http://evil/i.png) [l](javascript:z) \x1b[31m"


AT = time.strftime("%Y-%m-%d %H:%M", time.localtime(1000.0))


def test_table() -> None:
    """Each conversation is a line: its length, who answered last, when it was asked, and the question's first words."""
    main = talk(("Why?", "Because."))
    main.add(Question("And\nthen" + " what" * 50), stopped("So"))
    lab = store(lab=[Turn("How?", "So.")]).open("lab")
    first_words = "And then" + " what" * 10 + "…"
    assert history_text([main, lab]).splitlines() == [
        "Conversation  Turns  Last answer by  Asked             Last question",
        f"main          2      A, stopped      {AT}  {first_words}",
        "lab           1      —               —                 How?",
    ]
    page = Page(history_html([main, lab]))
    page.assert_well_formed()
    assert page.tags.count("tr") == 3
    assert "And then what what" in page.text


def test_what_was_said() -> None:
    """Every question and answer is told with who said it; the system prompt stands where it begins to hold."""
    conversation = talk(("Why?", "**Because.**"))
    conversation.add(Question([{"type": "text", "text": "And this?"}, IMAGE], system="Be brief."), stopped("A ca"))
    conversation.add(Question("Go on."), said("A cat.\n"))
    assert conversation_text(conversation).split("\n\n") == [
        "main: 3 turns",
        f"You, {AT}:\nWhy?",
        "A · m:\n**Because.**",
        "System prompt: Be brief.",
        f"You, {AT}:\nAnd this?\n[image]",
        "A · m, stopped:\nA ca",
        f"You, {AT}:\nGo on.",
        "A · m:\nA cat.",
    ]
    html = conversation_html(conversation)
    assert "<strong>Because.</strong>" in html
    assert html.count("System prompt") == 1
    page = Page(html)
    page.assert_well_formed()
    assert "A · m, stopped:" in page.text


def test_nothing_to_list() -> None:
    """Without a conversation the table is a line that says how one begins."""
    assert history_text([]) == "There is no conversation yet: %%ask -c begins one."
    assert "%%ask -c begins one" in history_html([])


@pytest.mark.parametrize("show", [history_html, lambda some: "".join(map(conversation_html, some))])
@given(text=st.text() | st.sampled_from([HOSTILE, *ODD_TEXTS[:-1]]))
def test_nothing_that_was_said_runs(show: Callable[[list[Conversation]], str], text: str) -> None:
    """Whatever was said, nothing of it runs or is loaded when it is shown, and no tag is left open."""
    parts: list[Content] = [text, [{"type": "text", "text": text}, {"type": text}]]
    turns = [Turn(question, text, "stopped", text, text, text, 0.0) for question in parts]
    page = Page(show([store(main=turns).open("main")]))
    page.assert_well_formed()
    page.assert_harmless()


@pytest.mark.parametrize("text", [HOSTILE, *ODD_TEXTS])
def test_nothing_that_was_said_steers_a_terminal(text: str) -> None:
    """The plain text has no control characters and nothing that UTF-8 cannot hold."""
    conversation = store(main=[Turn(text, text, "stopped", text, text, text, 0.0)]).open("main")
    for shown in (history_text([conversation]), conversation_text(conversation)):
        assert all(character.isprintable() or ord(character) >= 160 or character in "\n\t" for character in shown)
        shown.encode()


def test_no_secret_is_shown() -> None:
    """A secret is masked in everything that is shown, also where the question is cut in the middle of it."""
    for length in (0, 30, 55, 3990):
        turns = [Turn(f"{'x' * length} {one} {'y' * 5000}", one, "stopped", one, one, one) for one in (SECRET, KEY)]
        conversation = store(main=turns).open("main")
        show = (history_text, history_html)
        shown = [f([conversation]) for f in show] + [conversation_text(conversation), conversation_html(conversation)]
        for one in shown:
            assert SECRET[:9] not in one
            assert KEY[:9] not in one


def test_long_question_is_cut() -> None:
    """Of a very long question the beginning is shown, and how much is left out."""
    conversation = talk(("x" * 204_000, "Because."))
    for shown in (conversation_text(conversation), conversation_html(conversation)):
        assert "x … (200,000 more characters)" in shown
        assert len(shown) < 10_000


def test_half_a_character_can_be_shown() -> None:
    """A conversation in which there is half a character, as of a file's odd name, can be listed and shown."""
    turn = Turn("a\ud800b", "c\udfffd", provider="\ud800", system="\ud800")
    conversation = Conversation("main")
    conversation.replace([turn])
    shown = history_text([conversation]), history_html([conversation]), repr(turn)
    for text in (*shown, conversation_text(conversation), conversation_html(conversation)):
        assert "a?b" in text
        text.encode()
