"""Several providers asked at once: the run, the views of it, the option and the command."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from page import Page

from nbretry._utils.redaction import remember_secret
from nbretry.answer import Answer, fold
from nbretry.cli import main
from nbretry.errors import APIConnectionError, ConfigError, RetryNoProviderError, RetryProviderError
from nbretry.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    FirstContent,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    TextDelta,
)
from nbretry.providers import ScriptedProvider
from nbretry.renderers.compare import ComparisonConsole, comparison_html, comparison_text, headings, markdown_html
from nbretry.retry.policy import RetryPolicy
from nbretry.session.options import Asked, magic_help, parse_magic_line
from nbretry.session.question import Question
from nbretry.session.runs import first_answered
from nbretry.session.session import Session

SECRET = "a-secret-of-these-tests"


@pytest.fixture(autouse=True)
def known_secret() -> None:
    remember_secret(SECRET)


def run_of(name: str, *events: Event) -> Answer:
    return fold([RunStarted(0.0, (name,), "", ""), AttemptStarted(1, name, "", 0.0), *events])


def whole(name: str, text: str) -> Answer:
    return run_of(name, FirstContent(1, 0.5), TextDelta(1, text), AttemptSucceeded(1, "stop", 2.0), RunCompleted(2.0))


def failed(name: str, message: str, text: str = "") -> Answer:
    said = [FirstContent(1, 0.1), TextDelta(1, text)] if text else []
    failure = AttemptFailed(1, APIConnectionError(message), "stop", 0.0, 1.0)
    return run_of(name, *said, failure, RunFailed(RetryProviderError("x"), 1.0))


def stopped(name: str, text: str) -> Answer:
    return run_of(name, FirstContent(1, 0.5), TextDelta(1, text), RunCancelled(1.5))


# --- the run ----------------------------------------------------------------------------------------------------------


def compared(
    session: Session, providers: Sequence[Any], prompt: str = "Why?"
) -> tuple[list[tuple[int, Event]], list[list[Answer]], BaseException | None]:
    """What was painted, the lists that were kept, and what was raised."""
    painted: list[tuple[int, Event]] = []
    kept: list[list[Answer]] = []

    def paint(place: int, event: Event, answer: Answer) -> None:
        painted.append((place, event))

    try:
        asyncio.run(session.compare(Question(prompt, ["not-asked"]), providers, paint, kept.append))
    except Exception as error:
        return painted, kept, error
    return painted, kept, None


class Meeting:
    """Providers of which none goes on before all have been asked."""

    def __init__(self, guests: int) -> None:
        self.guests = guests
        self.all_here = asyncio.Event()

    async def create_async_generator(self, model: str, messages: Any, **options: Any) -> AsyncIterator[str]:
        self.guests -= 1
        if not self.guests:
            self.all_here.set()
        await self.all_here.wait()
        yield "met"


class Slow:
    """Goes on some steps of the loop after the others of a meeting."""

    def __init__(self, meeting: Meeting) -> None:
        self.meeting = meeting

    async def create_async_generator(self, model: str, messages: Any, **options: Any) -> AsyncIterator[str]:
        async for _ in self.meeting.create_async_generator(model, messages):
            for _ in range(50):
                await asyncio.sleep(0)
            yield "at last"


def test_all_are_asked_at_once() -> None:
    """Nobody waits for another one's answer."""
    meeting = Meeting(3)
    _, kept, failure = compared(Session(), [meeting, meeting, meeting])
    assert failure is None
    assert [answer.text for answer in kept[0]] == ["met", "met", "met"]


def test_answers_are_kept_in_the_named_order() -> None:
    """The answers stand in the order of the names, whoever was quicker, and the session keeps each."""
    session = Session()
    meeting = Meeting(3)
    session.register("slow", Slow(meeting))
    session.register("quick", meeting)
    painted, kept, _ = compared(session, ["slow", "quick", "slow"])
    assert [answer.text for answer in kept[0]] == ["at last", "met", "at last"]
    ends = [place for place, event in painted if isinstance(event, RunCompleted)]
    assert ends[0] == 1, "the quick one is to be first"
    assert [answer.providers for answer in kept[0]] == [("slow",), ("quick",), ("slow",)]
    assert list(session.answers) == kept[0]
    for place in range(3):
        events = [event for where, event in painted if where == place]
        assert isinstance(events[0], RunStarted)
        assert isinstance(events[-1], RunCompleted)


def test_one_that_fails_does_not_stop_the_others() -> None:
    """Where one fails the others answer, nothing is raised, and nobody answers in its place."""
    good = ScriptedProvider("'yes'", name="good")
    _, kept, failure = compared(Session(), [ScriptedProvider("401", name="bad"), good])
    assert failure is None
    assert [answer.state for answer in kept[0]] == ["failed", "completed"]
    assert len(good.calls) == 1
    assert first_answered(kept[0]).provider == "good"


def test_all_fail() -> None:
    """Where all fail one error names each with its exception, and has every attempt and the partial text."""
    broken = ScriptedProvider("'half' cut", name="broken")
    bad = ScriptedProvider("401 message='no'", name="bad")
    _, kept, failure = compared(Session(policy=RetryPolicy()), [bad, broken])
    assert isinstance(failure, RetryProviderError)
    lines = str(failure).splitlines()
    assert lines[0] == "every provider failed:"
    assert lines[1] == "bad: AuthenticationError: no"
    assert lines[2].startswith("broken: StreamInterruptedError: ")
    assert list(failure.exceptions) == ["bad", "broken"]
    assert [attempt.provider for attempt in failure.attempts] == ["bad", "broken"]
    assert failure.answer is kept[0][1]
    assert failure.answer.text == "half"


def test_failure_comes_before_the_rest_that_follows_it() -> None:
    """For one that rests after its failure the error tells the failure, not the rest."""
    session = Session()
    refusing = ScriptedProvider("503 message='overloaded'", name="refusing")
    for _ in range(2):
        _, _, failure = compared(session, [refusing])
        assert "refusing: ServerError: overloaded" in str(failure)


def test_unknown_name_is_told_before_anybody_is_asked() -> None:
    """A mistake in one name leaves the others unasked."""
    session = Session()
    good = ScriptedProvider()
    session.register("good", good)
    painted, kept, failure = compared(session, ["good", "goood"])
    assert isinstance(failure, ConfigError)
    assert (painted, kept, good.calls) == ([], [], [])
    assert isinstance(compared(session, ["good", "good"], " ")[2], ConfigError)
    assert isinstance(compared(session, [])[2], RetryNoProviderError)


def test_stop_stops_all() -> None:
    """A cancelled comparison closes every provider, keeps what had come, and marks as stopped who had not ended."""
    hanging = [ScriptedProvider("'half' hang", name="half"), ScriptedProvider("hang", name="silent")]
    quick = ScriptedProvider("'whole'", name="quick")
    session = Session()
    kept: list[list[Answer]] = []
    painted: list[tuple[int, Event]] = []

    async def stop_once_two_have_text() -> None:
        task = asyncio.current_task()
        assert task is not None
        with_text: set[int] = set()

        def paint(place: int, event: Event, answer: Answer) -> None:
            painted.append((place, event))
            if answer.state == "completed" or (place == 0 and answer.text):
                with_text.add(place)
                if len(with_text) == 2:
                    task.cancel()

        await session.compare(Question("Why?"), [*hanging, quick], paint, kept.append)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(stop_once_two_have_text())
    assert [(answer.state, answer.text) for answer in kept[0]] == [
        ("stopped", "half"),
        ("stopped", ""),
        ("completed", "whole"),
    ]
    assert [(provider.opened, provider.closed) for provider in [*hanging, quick]] == [(1, 1)] * 3
    assert {place for place, event in painted if isinstance(event, RunCancelled)} == {0, 1}
    assert list(session.answers) == kept[0]


@pytest.mark.parametrize("hedge_after", [None, 600.0])
def test_stop_before_the_beginning(hedge_after: float | None) -> None:
    """Stopped before anything was said, each answer is painted and kept as stopped, and no provider is left open."""
    provider = ScriptedProvider("hang")
    kept: list[list[Answer]] = []
    painted: list[int] = []

    def paint(place: int, event: Event, answer: Answer) -> None:
        if isinstance(event, RunCancelled):
            painted.append(place)

    async def stop_at_once() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await Session(hedge_after=hedge_after).compare(Question("Why?"), [provider, provider], paint, kept.append)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(stop_at_once())
    assert [answer.state for answer in kept[0]] == ["stopped", "stopped"]
    assert painted == [0, 1]
    assert provider.opened == provider.closed


def test_broken_renderer_ends_the_comparison() -> None:
    """Where painting one answer fails, the others are stopped and the failure is raised as it was."""
    endless = ScriptedProvider("'word' hang", name="endless")

    def paint(place: int, event: Event, answer: Answer) -> None:
        if place == 0 and isinstance(event, RunCompleted):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        asyncio.run(Session().compare(Question("Why?"), [ScriptedProvider(), endless], paint))
    assert (endless.opened, endless.closed) == (1, 1)


def test_first_answered() -> None:
    """The first whole answer comes before partial ones, those before empty ones."""
    bad, half, good = failed("bad", "no"), failed("half", "cut", "half"), whole("good", "yes")
    assert first_answered([bad, half, good]) is good
    assert first_answered([bad, half]) is half
    assert first_answered([bad, bad]) is bad


# --- side by side -----------------------------------------------------------------------------------------------------


def test_headings() -> None:
    """A name that comes once stands as it is, and so does one with another model; others are numbered."""
    assert headings(["a", "b", "a", "c", "a"]) == ["a (1)", "b", "a (2)", "c", "a (3)"]
    assert headings(["a:x", "a:y", "a", "a:y"]) == ["a:x", "a:y (1)", "a", "a:y (2)"]


def test_columns_have_heading_text_and_line() -> None:
    """The words of each column stand together: heading, text, what went wrong, the line."""
    answers = [whole("a", "**Yes.**"), failed("b", "refused", "Per"), stopped("c", "Perhaps"), Answer()]
    page = Page(comparison_html(["a", "b", "c", "d"], answers))
    page.assert_well_formed()
    page.assert_harmless()
    assert " ".join(page.text.split()) == (
        "✓ aYes. a · first token 0.50 s · total 2.00 s"
        "✗ bPer ✗ APIConnectionError: refusedb broke off · first token 0.10 s · total 1.00 s"
        "■ cPerhaps stopped · c · first token 0.50 s · total 1.50 s"
        "… dasking …"
    )
    assert "strong" in page.tags
    assert "details" not in page.tags, "they would close with each repaint"


def test_ended_columns_open_to_their_attempts() -> None:
    """Once all have ended, each line opens to a table of its own."""
    page = Page(comparison_html(["a", "b"], [whole("a", "Yes."), failed("b", "refused")]))
    page.assert_well_formed()
    assert page.tags.count("details") == 2
    assert page.tags.count("table") == 2


def test_growing_column_tells_who_answers() -> None:
    """While the text comes, the line says since when, and that it goes on."""
    growing = run_of("a", FirstContent(1, 0.5), TextDelta(1, "Y"))
    assert "a · first token 0.50 s …" in Page(comparison_html(["a"], [growing])).text
    assert comparison_text(["a"], [growing]) == "== a ==\nY\n\na · first token 0.50 s …"
    assert comparison_text(["a"], [run_of("a")]) == "== a ==\nasking a …"


def test_text_has_one_under_the_other() -> None:
    """As plain text the answers stand under each other, the model's words as written."""
    assert comparison_text(["a", "b"], [whole("a", "<b>*Yes*</b>\n"), failed("b", "refused")]) == (
        "== a ==\n<b>*Yes*</b>\n\na · first token 0.50 s · total 2.00 s\n\n"
        "== b ==\nnobody answered · total 1.00 s · failed: b\n  1. ✗ b · APIConnectionError: refused · 1.00 s"
    )


def test_secrets_are_masked_in_both() -> None:
    """A secret is masked in a heading, a text and an error."""
    for answer in (whole("a", f"It is {SECRET}."), failed("a", SECRET, f"`{SECRET}`")):
        for shown in (comparison_html([SECRET], [answer]), comparison_text([SECRET], [answer])):
            assert SECRET not in shown
            assert shown.count("[secret]") >= 2


# --- a stranger's Markdown --------------------------------------------------------------------------------------------

SHOWN_TAGS = {"a", "blockquote", "br", "code", "em", "hr", "li", "ol", "p", "pre", "s", "strong", "ul"}
SHOWN_TAGS |= {"h3", "h4", "h5", "h6", "table", "tbody", "td", "th", "thead", "tr"}
FRAGMENTS = ["<script>", "</script>", "<img/src=x/onerror=alert(1)>", "<b onclick=x>", "<!--", "-->", "<?php", "?>"]
FRAGMENTS += ["<![CDATA[", "]]>", "<style>", "`", "``", "```", "~~~", ">", "-", "1.", "*", "**", "~~", "#", "$", "$$"]
FRAGMENTS += ["\\", "\\(", "\\)", "\\[", "\\]", "<", "<a", "/>", "[", "]", "(", ")", "!", "|", "=", "word", '"', "'"]
FRAGMENTS += ["![a](http://x/y)", "[a](javascript:x)", "[a][a]", "[![a](http://x/y)](http://x)", "[]()", "![](data:x)"]
FRAGMENTS += ["![a [b](http://x)](http://y)", "<javascript:x>", '<http://x/"onclick=x>', "[a](//x/y)", "[a](x.html)"]
FRAGMENTS += ["&lt;", "&#60;", "&quot;", "java&#115;cript:x", "data:text/html,x", "[a]:", "[a](HTTP://x)", "[a]( 'b')"]
FRAGMENTS += ["\n", "\n\n", "    ", "\t", " ", "\r", "\u2028", "\0", "\n| --- | --- |\n", "\n[a]: javascript:x\n"]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=16).map("".join))
def test_no_markdown_becomes_active(text: str) -> None:
    """Whatever a model writes, its HTML has only tags of plain text, loads nothing, and links to the web alone."""
    page = Page(markdown_html(text))
    page.assert_well_formed()
    page.assert_harmless()
    assert set(page.tags) <= SHOWN_TAGS
    assert all(address.lower().startswith("a href=http") for address in page.addresses)


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("[a](https://x.example/y)", '<a href="https://x.example/y">a</a>'),
        ("[mail](mailto:a@x.example)", '<a href="mailto:a@x.example">mail</a>'),
        ("![a cat](https://x.example/cat.png)", '<a href="https://x.example/cat.png">a cat</a>'),
        ("![](https://x.example/cat.png)", '<a href="https://x.example/cat.png">https://x.example/cat.png</a>'),
        ("[![a](https://x.example/i)](https://x.example)", '<a href="https://x.example">a</a>'),
        ("[x](javascript:alert(1))", "[x](javascript:alert(1))"),
        ("[x](notes.html)", "[x](notes.html)"),
        ("[x]()", "x"),
        ("a <b>c</b>", "a &lt;b&gt;c&lt;/b&gt;"),
        ("~~a~~ `<b>`", "<s>a</s> <code>&lt;b&gt;</code>"),
        (r"$a*b*c_1_<d$ and \(x\\y\) and \[ z*z* \]", r"$a*b*c_1_&lt;d$ and \(x\\y\) and \[ z*z* \]"),
        ("it costs $5, or *about* $6", "it costs $5, or <em>about</em> $6"),
    ],
)
def test_markdown_of_one_line(markdown: str, html: str) -> None:
    """Links to the web and by mail are links, images are links, other addresses and HTML are text; formulas stay."""
    assert markdown_html(markdown) == f'<p style="margin:0 0 0.6em">{html}</p>\n'


def test_blocks_of_markdown() -> None:
    """Headings fit a column, tables are tables, and code that is cut off is code."""
    assert markdown_html("# One\n\n##### Five\n").count("<h3 ") == 1
    assert "<h6 " in markdown_html("##### Five\n")
    table = Page(markdown_html("| a | b |\n| --- | ---: |\n| 1 | 2 |\n"))
    assert (table.tags.count("th"), table.tags.count("td")) == (2, 2)
    for code in ("```python\nif x < 1:", "    if x < 1:"):
        page = Page(markdown_html(code))
        assert (page.tags, page.text.strip()) == (["pre", "code"], "if x < 1:")


# --- in a terminal ----------------------------------------------------------------------------------------------------


def test_answers_in_a_terminal_are_not_mixed() -> None:
    """However their fragments come, each answer is written whole under its heading, in the order of their ends."""
    out, err = io.StringIO(), io.StringIO()
    console = ComparisonConsole(out, err, ["a", "b", "c"])
    events: list[tuple[int, str, Event]] = []
    for place, name, answer in ((0, "a", "One \x1b[2Jtwo."), (1, "b", "Three four.\n\n")):
        events.append((place, name, RunStarted(0.0, (name,), "", "")))
        events.append((place, name, AttemptStarted(1, name, "", 0.0)))
        events.append((place, name, FirstContent(1, 0.5)))
        events += [(place, name, TextDelta(1, word)) for word in answer.split(" ")]
        events.append((place, name, RunCompleted(2.0)))
    answers = [Answer(), Answer(), Answer()]
    half = len(events) // 2
    for place, _, event in (step for pair in zip(events[half:], events[:half], strict=True) for step in pair):
        answers[place] = answers[place].apply(event)
        console(place, event, answers[place])
    console(2, RunFailed(RetryProviderError("x"), 1.0), failed("c", "refused"))
    assert out.getvalue() == "== b ==\nThreefour.\n\n== a ==\nOne[2Jtwo.\n\n== c ==\n"
    assert err.getvalue().splitlines() == [
        "  ✓ b · first token 0.50 s · total 2.00 s",
        "  ✓ a · first token 0.50 s · total 2.00 s",
        "  ✗ c · APIConnectionError: refused · 1.00 s",
        "  ■ nobody answered · total 1.00 s · failed: c",
    ]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    """The process's session, a fresh one for this test."""
    fresh = Session()
    monkeypatch.setattr("nbretry.session.session._default", fresh)
    fresh.register("good", ScriptedProvider("'The sky is ' 'blue.'", name="good", model="sky-1"))
    fresh.register("other", ScriptedProvider("'It is.'", name="other"))
    fresh.register("bad", ScriptedProvider("401 message='no'", name="bad"))
    return fresh


def test_command(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    """The command writes every answer to standard output, who failed to standard error, and has the status 0."""
    assert main(["ask", "Why?", "--compare", "good,bad,other", "-t", "0"]) == 0
    out, err = capsys.readouterr()
    sections = [section.strip() for section in out.split("\n\n")]
    assert sorted(sections) == ["== bad ==", "== good ==\nThe sky is blue.", "== other ==\nIt is."]
    assert "  ✗ bad · scripted · AuthenticationError: no" in err
    assert "  ✓ good · sky-1 · first token" in err
    assert [answer.state for answer in session.answers] == ["completed", "failed", "completed"]


def test_command_with_models(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    """One provider may be compared for several models: each answer stands under its model and comes from it."""
    assert main(["ask", "Why?", "--compare", "good:large,good:small:7b", "-m", "other"]) == 0
    out, err = capsys.readouterr()
    heads = [line for line in out.splitlines() if line.startswith("==")]
    assert sorted(heads) == ["== good:large ==", "== good:small:7b =="]
    assert "  ✓ good · large · first token" in err
    assert "  ✓ good · small:7b · first token" in err
    assert [answer.model for answer in session.answers] == ["large", "small:7b"]
    assert main(["ask", "Why?", "--compare", "bad:large,bad:small"]) == 1
    out, err = capsys.readouterr()
    assert sorted(filter(None, out.splitlines())) == ["== bad:large ==", "== bad:small =="]
    for model in ("large", "small"):
        assert err.count(f"  ✗ bad · {model} · AuthenticationError: no · ") == 1


def test_command_where_all_fail(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    """Where all fail the status is 1, and each failure is told once."""
    assert main(["ask", "Why?", "--compare", "bad,bad"]) == 1
    out, err = capsys.readouterr()
    assert out == "== bad (1) ==\n\n== bad (2) ==\n"
    assert err.count("✗ bad · scripted · AuthenticationError: no") == 2
    assert "RetryProviderError" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--compare", "good,bad", "-p", "good"], "--compare and -p both say whom to ask: write one of them"),
        (["--compare", "good,bad", "--json"], "--json writes the events of one answer, and --compare asks for several"),
        (["--compare", "good,goood:x"], "there is no provider named 'goood'; did you mean 'good'?"),
        (["--compare", "good,goood"], "there is no provider named 'goood'; did you mean 'good'?"),
    ],
)
def test_mistakes_in_the_command(
    session: Session, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """A mistake has the status 2, is told in one line, and nobody is asked."""
    assert main(["ask", "Why?", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith(f"nbretry: ConfigError: {message}")
    assert not session.answers


# --- the option -------------------------------------------------------------------------------------------------------


def test_option() -> None:
    """`--compare` takes names as -p does, a name twice included."""
    expected = Asked(Question("Why?", temperature=0.0), "kept", ["a", "b", "a"])
    assert parse_magic_line("--compare a,b,a -t 0 -o kept", "Why?") == expected
    assert parse_magic_line("--compare='a, b, a' -t=0 -o kept Why?") == expected
    assert parse_magic_line("-p a", "Why?").compare is None
    assert "--compare A,B,C" in magic_help()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--compare a", "--compare: 'a' is no comparison: write two names or more with commas between"),
        ("--compare a,,b", "--compare: 'a,,b' is no comparison: write two names or more with commas between"),
        ("--compare a,b -p c", "--compare and -p both say whom to ask: write one of them"),
        ("-p c --compare a,b", "--compare and -p both say whom to ask: write one of them"),
        ("--compare", "--compare needs a value"),
    ],
)
def test_mistakes_in_the_option(line: str, message: str) -> None:
    """Each mistake is told in one line."""
    with pytest.raises(ConfigError) as caught:
        parse_magic_line(line, "Why?")
    assert str(caught.value) == message


@pytest.mark.parametrize("depth", [15, 25, 31, 58, 59, 60, 61, 200, 2000])
@pytest.mark.parametrize("mark", ["- ", "> ", "1. ", "- > "])
def test_no_text_is_lost_to_deep_nesting(mark: str, depth: int) -> None:
    """However deep a model nests lists and quotes, their text and all that follows is shown."""
    page = Page(markdown_html(f"before\n\n{mark * depth}too deep\n\nthe end."))
    page.assert_well_formed()
    for words in ("before", "too deep", "the end."):
        assert words in page.text
