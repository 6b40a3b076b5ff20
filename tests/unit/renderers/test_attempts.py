"""What happened in a run, as HTML: real runs in virtual time looked at while they go on, and whatever strangers say."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from html import unescape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page import Page
from virtual_time import LoopClock, Timed, run_virtually

from nbretry._utils.redaction import remember_secret
from nbretry._utils.text import cut_middle
from nbretry.answer import Answer, fold
from nbretry.errors import (
    APIConnectionError,
    RateLimitError,
    RetryProviderError,
    ServerError,
    StreamInterruptedError,
)
from nbretry.events import (
    AttemptFailed,
    AttemptSkipped,
    AttemptStarted,
    Event,
    FirstContent,
    ReasoningDelta,
    RunCancelled,
    RunFailed,
    RunStarted,
    StatusChanged,
    TextDelta,
)
from nbretry.providers import RetryProvider
from nbretry.renderers.attempts import (
    attempt_lines_html,
    attempts_html,
    backoff_left,
    changes_with_time,
    failures_html,
)
from nbretry.renderers.tracebacks import has_traceback, traceback_text
from nbretry.retry.health import Cooldown
from nbretry.retry.policy import RetryPolicy
from nbretry.types import Reasoning, Status

HOSTILE = "<script>alert('x')</script>&\"'</div></details><img src=x onerror=alert(1)>"
SECRET = "a-secret-of-the-renderers"
DOWN = ServerError("down", status_code=503)
SLOW_DOWN = RateLimitError("slow down", status_code=429, retry_after=4.0)


@pytest.fixture(autouse=True)
def known_secret() -> None:
    remember_secret(SECRET)


class Lines(Page):
    """The lines of the attempts, without the last, which has the ends of the axis.

    Attributes:
        rows: the text of each.
        bars: each bar in words.
        styles: of each line.
    """

    def __init__(self, html: str) -> None:
        self._all_rows: list[str] = []
        self.bars: list[str] = []
        self.styles: list[str] = []
        self._within = 0
        super().__init__(html)
        self.rows = [" ".join(row.split()) for row in self._all_rows[:-1]]

    @property
    def axis(self) -> str:
        """What stands at the end of the axis."""
        found = re.match(r"0 s (.+? m?s) ", " ".join(self._all_rows[-1].split()))
        assert found is not None
        return found[1]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        values = dict(attrs)
        if "nbretry-attempt-lines" in (values.get("class") or ""):
            self._within = len(self.open)
        elif self._within and len(self.open) == self._within + 1:
            self._all_rows.append("")
            self.styles.append(values.get("style") or "")
        if values.get("role") == "img":
            assert values["title"] == values["aria-label"]
            self.bars.append(values["aria-label"] or "")

    def handle_endtag(self, tag: str) -> None:
        super().handle_endtag(tag)
        if len(self.open) < self._within:
            self._within = 0

    def handle_data(self, data: str) -> None:
        super().handle_data(data)
        if self._within and self._all_rows:
            self._all_rows[-1] += data


def read(html: str) -> Lines:
    """The lines, after a look whether the whole is well-formed and does nothing."""
    lines = Lines(html)
    lines.assert_well_formed()
    lines.assert_harmless()
    return lines


def rows(answer: Answer, now: float | None = None) -> list[str]:
    return read(attempts_html(answer, now)).rows


@dataclass
class Watched:
    """A run that was looked at.

    Attributes:
        at: the answer as it was, by seconds since the run started.
        end: the answer at the end.
    """

    at: dict[float, Answer]
    end: Answer

    def rows(self, moment: float) -> list[str]:
        return rows(self.at[moment], moment)


def watch(*providers: Any, at: Sequence[float] = (), stop_at: float | None = None, **settings: Any) -> Watched:
    """Ask the providers in virtual time, and look at these moments."""

    async def main() -> Watched:
        chain = RetryProvider(providers, False, clock=LoopClock(), **settings)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        watched = Watched({}, Answer())

        async def look() -> None:
            for moment in at:
                await asyncio.sleep(begun + moment - loop.time())
                watched.at[moment] = watched.end

        async def follow() -> None:
            with suppress(RetryProviderError):
                async with aclosing(chain.stream_events("", "Hello")) as events:
                    async for event in events:
                        watched.end = watched.end.apply(event)

        looking, following = asyncio.create_task(look()), asyncio.create_task(follow())
        await asyncio.wait([following], timeout=stop_at)
        if stop_at is not None:
            following.cancel()
            await asyncio.wait([following])
            watched.end = watched.end.apply(RunCancelled(loop.time() - begun))
        await looking
        return watched

    watched: Watched = run_virtually(main())
    return watched


def run_of(*events: Event) -> Answer:
    return fold([RunStarted(1_700_000_000.0, ("first", "second"), "", "0" * 64), *events])


def raised(exception: BaseException) -> BaseException:
    """The exception with a traceback in which this function is."""
    try:
        raise exception
    except type(exception) as caught:
        return caught


# --- the phases -------------------------------------------------------------------------------------------------------


def test_each_phase_of_an_answer() -> None:
    """An attempt says what the provider says of itself, that it thinks, that it answers, and what it came to."""
    local = Timed("local", [Status("loading the model"), 3, Reasoning("hm"), 2, "Hello", 4, " you"])
    run = watch(local, at=(0.5, 1.5, 3.5, 6.5))
    assert run.rows(0.5) == ["1 local … loading the model, waiting for the first content"]
    assert run.rows(1.5) == ["1 local … loading the model, waiting for the first content 1 s"]
    assert run.rows(3.5) == ["1 local … thinking 3 s"]
    assert run.rows(6.5) == ["1 local … answering, first token 5.00 s"]
    assert rows(run.end) == ["1 local ✓ answered · first token 5.00 s · 9.00 s"]
    assert read(attempts_html(run.end)).bars == [
        "asked at 0 ms: 5.00 s waiting for the first content (pale), 4.00 s of content (full)"
    ]


def test_a_provider_that_says_nothing() -> None:
    """One that says nothing of itself was asked; its model stands beside its name."""
    answer = run_of(AttemptStarted(1, "first", "big", 0.0))
    assert rows(answer, 3.9) == ["1 first · big … asked, waiting for the first content 3 s"]


def test_before_anybody_is_asked() -> None:
    """A run that has not begun shows nothing; one in which nobody was asked yet has the line of who will be."""
    assert attempts_html(Answer()) == ""
    assert rows(run_of(), 0.0) == ["1 first … about to be asked"]
    assert rows(run_of(RunFailed(RetryProviderError("x"), 0.0))) == ["nobody – nobody was asked"]


def test_the_countdown_of_a_backoff() -> None:
    """After a failure that is waited out stands how long still; then the next attempt begins a line of its own."""
    flaky = Timed("flaky", [1, SLOW_DOWN], [2, "back"])
    run = watch(flaky, at=(1.5, 4.9, 5.5), policy=RetryPolicy(max_attempts=2))
    failed = "1 flaky ✗ failed: RateLimitError: slow down · 1.00 s"
    assert run.rows(1.5) == [f"{failed} · asked again in 3.5 s"]
    assert run.rows(4.9) == [f"{failed} · asked again in 0.1 s"]
    assert run.rows(5.5) == [
        f"{failed} · asked again after 4.00 s",
        "2 flaky … asked, waiting for the first content",
    ]
    assert backoff_left(run.at[1.5], 1.5) == 3.5
    assert backoff_left(run.at[1.5], 99.0) == 0.0
    assert [backoff_left(answer, 5.5) for answer in (run.at[5.5], run.end, Answer())] == [None, None, None]
    assert (
        read(attempts_html(run.at[1.5], 1.5))
        .bars[0]
        .endswith("0.50 s of backoff (dotted), 3.50 s of backoff to come (dotted, pale)")
    )


def test_a_wait_for_a_second_round() -> None:
    """Where everybody has failed once and one is asked again, the wait belongs to the last that failed."""
    first, second = Timed("first", [1, DOWN], ["back"]), Timed("second", [1, DOWN])
    run = watch(first, second, at=(2.5,), policy=RetryPolicy(rounds=2, backoff_initial=4.0))
    assert run.rows(2.5) == [
        "1 first ✗ failed: ServerError: down · 1.00 s",
        "2 second ✗ failed: ServerError: down · 1.00 s · next one in 2.5 s",
    ]
    assert rows(run.end)[1].endswith("· next one after 3.00 s")


def test_a_failover_with_three_failures() -> None:
    """Each attempt has its line in the order of asking, on one axis, and each failure its exception below."""
    providers = [
        Timed("a", [1, APIConnectionError("refused")]),
        Timed("b", [DOWN]),
        Timed("c", [1, "half", 1, StreamInterruptedError("broke off")]),
        Timed("d", [1, "whole", 3]),
    ]
    answer = watch(*providers, policy=RetryPolicy(on_break="restart")).end
    assert rows(answer) == [
        "1 a ✗ failed: APIConnectionError: refused · 1.00 s",
        "2 b ✗ failed: ServerError: down · 0 ms",
        "3 c ✗ failed: StreamInterruptedError: broke off · 2.00 s",
        "4 d ✓ answered · first token 1.00 s · 4.00 s",
    ]
    page = read(attempts_html(answer))
    assert page.axis == "7.00 s"
    assert page.bars[2] == (
        "asked at 1.00 s: 1.00 s waiting for the first content (pale, striped, as it came to nothing), "
        "1.00 s of content (full, striped, as it came to nothing)"
    )
    assert page.tags.count("details") == 4, "three tracebacks, and the text that was given up"
    below = Page(failures_html(answer)).text
    for words in ("1. a: APIConnectionError: refused", "2. b: ServerError: down", "4 characters)half"):
        assert words in below
    assert below.count("Traceback (most recent call last)") >= 3


def test_an_answer_that_goes_on_from_another() -> None:
    """Text of a failed attempt that the answer has is content like any other, and nothing is folded away."""
    first, second = Timed("first", ["one ", 1, StreamInterruptedError("cut")]), Timed("second", [1, "two"])
    answer = watch(first, second, policy=RetryPolicy(on_break="continue")).end
    assert rows(answer)[0] == "1 first ✗ failed: StreamInterruptedError: cut · 1.00 s · the next one went on"
    assert read(attempts_html(answer)).bars[0] == "asked at 0 ms: 1.00 s of content (full)"
    assert "the text it had sent" not in attempts_html(answer)


def test_hedged_attempts() -> None:
    """Two that are asked side by side both run; who was quicker answers, and the other one was cancelled."""
    slow, quick = Timed("slow", [10, "slow"]), Timed("quick", [2, "quick", 3, "er"])
    run = watch(slow, quick, at=(3.5, 5.0), hedge_after=2.0)
    assert run.rows(3.5) == [
        "1 slow … asked, waiting for the first content 3 s",
        "2 quick … asked, waiting for the first content 1 s",
    ]
    assert run.rows(5.0) == [
        "1 slow – cancelled: quick was quicker · 4.00 s",
        "2 quick … answering, first token 2.00 s",
    ]
    assert rows(run.end)[1] == "2 quick ✓ answered · first token 2.00 s · 5.00 s"


def test_no_countdown_while_another_is_asked() -> None:
    """A failure beside an attempt that still runs is not waited out, whatever it would have waited alone."""
    flaky, slow = Timed("flaky", [3, SLOW_DOWN]), Timed("slow", [9, "slow"])
    run = watch(flaky, slow, at=(4.5,), hedge_after=2.0, policy=RetryPolicy(max_attempts=2))
    assert backoff_left(run.at[4.5], 4.5) is None
    assert run.rows(4.5)[0] == "1 flaky ✗ failed: RateLimitError: slow down · 3.00 s"
    assert "backoff" not in read(attempts_html(run.at[4.5], 4.5)).bars[0]


def test_one_that_rests_is_skipped() -> None:
    """One that rests is passed over: its line says for how long still, and its bar that nothing was sent."""
    bad, good = Timed("bad", [1, DOWN]), Timed("good", [1, "good"])

    async def main() -> Answer:
        chain = RetryProvider([bad, good], False, clock=LoopClock(), cooldown=Cooldown(failures=1, rest_initial=10.0))
        await chain.answer("", "Hello")
        return await chain.answer("", "Hello")

    answer = run_virtually(main())
    assert rows(answer)[0] == "1 bad – skipped: resting 9 s more, after ServerError: down"
    assert read(attempts_html(answer)).bars[0] == "skipped at 0 ms: nothing was sent"
    assert failures_html(answer) == "", "nothing has failed in this run"


def test_one_that_rests_after_its_backoff() -> None:
    """Where the wait for a provider ended with another one, as it rests now, it is not said to be asked again."""
    bad, good = Timed("bad", [1, SLOW_DOWN]), Timed("good", [1, "good"])
    settings = {"policy": RetryPolicy(max_attempts=2), "cooldown": Cooldown(failures=1, rest_initial=60.0)}
    answer = watch(bad, good, **settings).end
    assert [attempt.state for attempt in answer.attempts] == ["failed", "skipped", "answered"]
    assert rows(answer)[0] == "1 bad ✗ failed: RateLimitError: slow down · 1.00 s · next one after 4.00 s"


def test_a_skipped_one_ends_a_wait() -> None:
    """Whoever is passed over after a backoff tells that it is over."""
    failed = AttemptFailed(1, DOWN, "retry", 2.0, 1.0)
    skipped = AttemptSkipped(2, "first", "", DOWN, 3.0)
    waiting = run_of(AttemptStarted(1, "first", "", 0.0), failed)
    assert backoff_left(waiting, 2.0) == 1.0
    assert backoff_left(waiting.apply(skipped), 3.0) is None
    beside = run_of(AttemptStarted(1, "first", "", 0.0), AttemptSkipped(2, "second", "", DOWN, 1.0), failed)
    assert backoff_left(beside, 2.0) == 1.0, "it was passed over before the failure, at the same moment"


@pytest.mark.parametrize(
    ("stop_at", "words"),
    [
        (0.5, "1 p ■ stopped · 0.50 s"),
        (2.5, "1 p ■ stopped while it answered · first token 1.00 s · 2.50 s"),
    ],
)
def test_a_stopped_attempt(stop_at: float, words: str) -> None:
    """A stop is told apart by whether the answer had begun."""
    assert rows(watch(Timed("p", [1, "a", 9, "b"]), stop_at=stop_at).end) == [words]


def test_a_stop_in_a_backoff() -> None:
    """A run that is stopped while it waits says so, and its bar ends with the part of the wait that there was."""
    answer = watch(Timed("p", [1, SLOW_DOWN]), stop_at=2.5, policy=RetryPolicy(max_attempts=2)).end
    assert rows(answer) == ["1 p ✗ failed: RateLimitError: slow down · 1.00 s · stopped while waiting"]
    assert read(attempts_html(answer)).bars[0].endswith(", 1.50 s of backoff (dotted)")


def test_a_log_that_ends_in_the_middle() -> None:
    """An answer whose end nobody knows is shown as far as it is known, and without a time that goes on."""
    answer = run_of(AttemptStarted(1, "first", "", 0.0), FirstContent(1, 2.0), TextDelta(1, "x"))
    assert rows(answer) == ["1 first … answering, first token 2.00 s"]
    waiting = run_of(AttemptStarted(1, "first", "", 0.0), AttemptFailed(1, DOWN, "retry", 2.0, 1.0))
    assert rows(waiting)[0].endswith("asked again in 2.0 s")
    assert rows(run_of(AttemptStarted(1, "first", "", 5.0))) == ["1 first … asked, waiting for the first content"]


# --- time -------------------------------------------------------------------------------------------------------------


def test_what_changes_with_time() -> None:
    """A repaint is due while somebody is asked or a backoff is waited, and at no other time."""
    running = run_of(AttemptStarted(1, "first", "", 0.0))
    at_once = running.apply(AttemptFailed(1, DOWN, "fallback", 0.0, 1.0))
    waiting = running.apply(AttemptFailed(1, DOWN, "retry", 2.0, 1.0))
    stopped = waiting.apply(RunCancelled(1.5))
    answers = (Answer(), run_of(), running, at_once, waiting, stopped)
    assert [changes_with_time(answer) for answer in answers] == [False, False, True, False, True, False]
    for answer in answers:
        changed = attempts_html(answer, 1.2) != attempts_html(answer, 2.2)
        assert changed == changes_with_time(answer)


def test_bars_grow_and_do_not_jump() -> None:
    """While a run goes on its axis ends at a round number, so that between two of those each bar only grows."""
    answer = run_of(AttemptStarted(1, "first", "", 0.0))
    widths: dict[str, list[float]] = {}
    for tenths in range(1, 400):
        html = attempt_lines_html(answer, tenths / 10)
        found = re.search(r"flex:none;width:([\d.]+)%", html)
        assert found is not None
        widths.setdefault(read(html).axis, []).append(float(found[1]))
    assert list(widths) == ["1 s", "2 s", "5 s", "10 s", "20 s", "30 s", "60 s"]
    for grown in widths.values():
        assert grown == sorted(grown)
        assert grown[-1] <= 100
    assert read(attempts_html(answer, 9_000.0)).axis == "14400 s"


def test_the_axis_has_room_for_a_wait() -> None:
    """What is to be waited for is on the axis from the beginning, so that the countdown moves nothing."""
    waiting = run_of(AttemptStarted(1, "first", "", 0.0), AttemptFailed(1, DOWN, "retry", 7.0, 1.0))
    assert {read(attempts_html(waiting, now)).axis for now in (1.0, 4.0, 8.0)} == {"10 s"}


def test_each_line_is_as_high_as_the_next() -> None:
    """Whatever an attempt says, its line has one and the same height, and cuts what there is no room for."""
    long = ServerError("long " * 500)
    run = watch(
        Timed("a", [1, long]),
        Timed("b", [2, "half", StreamInterruptedError("x")]),
        Timed("c", [1, "c", 4]),
        at=(0.5, 2.5, 5.0),
        policy=RetryPolicy(on_break="restart"),
    )
    pictures = [attempts_html(answer, moment) for moment, answer in run.at.items()]
    styles = {style for html in (*pictures, attempts_html(run.end)) for style in Lines(html).styles}
    assert len(styles) == 1
    assert re.search(r"height:1\.8em;white-space:nowrap", styles.pop())


def test_times_that_cannot_be() -> None:
    """A record with times that run backwards, and a clock that is behind the events, give bars all the same."""
    events = (AttemptStarted(1, "first", "", 9.0), FirstContent(1, 4.0), AttemptFailed(1, DOWN, "retry", 1e308, 2.0))
    for answer in (run_of(*events), run_of(*events[:2]), run_of(*events, RunCancelled(1.0))):
        for now in (None, -5.0, 0.0, 1e308):
            html = attempt_lines_html(answer, now)
            assert len(read(html).rows) == 1
            for share in re.findall(r"([^:\s]+)%", html):
                assert 0 <= float(share) <= 100


# --- why attempts failed ----------------------------------------------------------------------------------------------


def failed_with(exception: BaseException, *events: Event) -> Answer:
    return run_of(AttemptStarted(1, "first", "", 0.0), *events, AttemptFailed(1, exception, "fallback", 0.0, 0.5))


def test_a_traceback_behind_a_fold() -> None:
    """The traceback has the frames of the exception and of its cause."""
    error = APIConnectionError("refused")
    error.__cause__ = raised(OSError(111, "nobody listens"))
    html = failures_html(failed_with(raised(error)))
    page = read(html)
    assert page.tags.count("details") == 1
    for words in ("in raised", "nobody listens", "direct cause", "APIConnectionError: refused"):
        assert words in page.text


def test_no_fold_without_a_traceback() -> None:
    """An exception that was never raised, or that comes from a record, has its words and no fold."""
    live = failed_with(raised(DOWN))
    for answer in (failed_with(ValueError("never raised")), Answer.from_dict(live.to_dict())):
        page = read(failures_html(answer))
        assert "details" not in page.tags
        assert re.search("1. first: (ValueError: never raised|ServerError: down)", page.text)
    assert "details" in Page(failures_html(live)).tags


def test_what_is_long_is_cut_in_the_middle() -> None:
    """A message of a hundred thousand characters leaves the lines short, and is cut with a note behind its fold."""
    message = f"begins {'x' * 100_000} ends"
    for exception in (ValueError(message), raised(ValueError(message))):
        answer = failed_with(exception)
        assert len(attempt_lines_html(answer, 1.0)) < 8_000
        html = failures_html(answer)
        assert len(html) < 16_000
        assert re.search(r"\[… [\d,]+ characters cut …\]", html)
        assert "begins" in html
        assert "ends" in html


def test_many_failures_are_bounded() -> None:
    """However many attempts fail with however much, what is folded away stays within bounds."""
    events: list[Event] = []
    for number in range(1, 51):
        failure = AttemptFailed(number, raised(ValueError("y" * 20_000)), "fallback", 0.0, float(number))
        events += [AttemptStarted(number, f"p{number}", "", number - 1.0), failure]
    assert len(failures_html(run_of(*events))) < 150_000
    assert len(rows(run_of(*events), 50.0)) == 50


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("cannot say")

    __repr__ = __str__


def test_an_exception_that_cannot_say_what_it_is() -> None:
    """A stranger's exception with faults of its own is named by its type, with a traceback or without one."""
    for exception in (Mute(), raised(Mute())):
        answer = failed_with(exception)
        assert rows(answer, 1.0) == ["1 first ✗ failed: Mute · 0.50 s"]
        assert "1. first: Mute" in read(failures_html(answer)).text


def test_text_that_was_given_up() -> None:
    """Text that an attempt had sent is behind a fold of its own, as it was written."""
    answer = failed_with(DOWN, FirstContent(1, 0.1), TextDelta(1, "line one\n  <b>two</b>"))
    page = read(failures_html(answer))
    assert "the text it had sent (21 characters)" in page.text
    assert "line one\n  <b>two</b>" in page.text


# --- strangers --------------------------------------------------------------------------------------------------------


def hostile_answer(text: str) -> Answer:
    """An answer in which everything that can come from outside has this in it."""
    return fold(
        [
            RunStarted(0.0, (text,), "", ""),
            AttemptStarted(1, text, text, 0.0),
            FirstContent(1, 0.1),
            TextDelta(1, text),
            AttemptFailed(1, raised(ValueError(text)), "fallback", 0.0, 0.2),
            AttemptSkipped(2, text, text, ValueError(text), 0.2),
            AttemptStarted(3, text, text, 0.3),
            AttemptFailed(3, ValueError(text), "retry", 1.0, 0.4),
            AttemptStarted(4, text, text, 1.4),
            StatusChanged(4, text),
            AttemptStarted(5, text, text, 1.4),
            ReasoningDelta(5, text),
        ]
    )


@given(st.text(max_size=20).map(lambda text: text + HOSTILE))
def test_every_word_is_escaped(text: str) -> None:
    """No name, model, message, status or text of a stranger becomes a tag or an attribute."""
    lines = read(attempts_html(hostile_answer(text), 2.0))
    assert len(lines.rows) == 5
    assert "script" not in lines.tags
    assert "img" not in lines.tags
    assert lines.text.count("<script>alert('x')</script>") >= 10


def test_secrets_are_masked() -> None:
    """A secret is masked wherever it stands, in the traceback's lines of code and in the words for a pointer, too."""

    def fails() -> None:
        raise ValueError("a-secret-of-the-renderers")

    with pytest.raises(ValueError, match="secret") as caught:
        fails()
    assert SECRET not in traceback_text(caught.value)
    failed = failed_with(caught.value)
    for html in (attempts_html(hostile_answer(SECRET), 2.0), attempts_html(failed, 1.0)):
        assert SECRET not in unescape(html)
        assert html.count("[secret]") >= 4


@pytest.mark.parametrize("between", ["\u202e", "\x00", "\x1b", "\u2069"])
def test_a_secret_cannot_hide_behind_what_is_not_seen(between: str) -> None:
    """A secret with an invisible character in it, which is taken out, is masked as well."""
    html = attempts_html(hostile_answer(SECRET[:8] + between + SECRET[8:]), 2.0)
    assert SECRET not in html


def test_no_half_of_a_secret_is_left_by_a_cut() -> None:
    """A secret in the place where a long text is cut does not leave its beginning or its end behind."""
    for before in range(5_960, 6_000, 4):
        text = f"{'.' * before}{SECRET}{'.' * 20_000}"
        begun = (FirstContent(1, 0.1), TextDelta(1, text))
        for answer in (failed_with(DOWN, *begun), failed_with(raised(ValueError(text))), failed_with(ValueError(text))):
            html = failures_html(answer)
            assert "characters cut" in html
            assert "a-sec" not in html
            assert "renderers." not in html


def test_words_from_right_to_left() -> None:
    """Words that are read from right to left stay by themselves, and cannot turn the line around."""
    answer = failed_with(ValueError("\u202eשלום\u2067 reversed"))
    html = attempts_html(answer, 1.0)
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", html)
    assert "<bdi>failed: ValueError: שלום reversed</bdi>" in html


def test_names_that_are_no_texts() -> None:
    """What a provider says of itself need not be of the type that it should be."""
    numbered: Any = 7
    answer = run_of(AttemptStarted(1, numbered, numbered, 0.0), StatusChanged(1, numbered))
    assert rows(answer, 0.5) == ["1 7 · 7 … 7, waiting for the first content"]


def test_lone_surrogates_can_be_sent() -> None:
    """Half a character, as a broken stream may have it, does not keep the HTML from being sent."""
    attempts_html(hostile_answer("half \ud83d"), 2.0).encode("utf-8")


# --- tracebacks and cutting -------------------------------------------------------------------------------------------


def chains() -> Iterator[tuple[BaseException, bool]]:
    """Exceptions, and whether they have a traceback that is shown."""
    yield ValueError("never raised"), False
    yield raised(ValueError("raised")), True
    by_cause, by_context, hidden = ValueError("a"), ValueError("b"), ValueError("c")
    by_cause.__cause__ = raised(OSError("cause"))
    yield by_cause, True
    by_context.__context__ = raised(OSError("context"))
    yield by_context, True
    hidden.__context__, hidden.__suppress_context__ = raised(OSError("hidden")), True
    yield hidden, False
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    yield one, False


@pytest.mark.parametrize(("exception", "expected"), list(chains()), ids=lambda value: str(value))
def test_whether_there_is_a_traceback(exception: BaseException, expected: bool) -> None:
    """A traceback is one of the exception or of what is shown as its cause; a ring of causes has an end."""
    assert has_traceback(exception) == expected
    assert ("Traceback" in traceback_text(exception)) == expected


@given(st.text(max_size=300), st.integers(0, 200))
def test_cutting_keeps_both_ends(text: str, limit: int) -> None:
    """What fits stays as it is; of the rest so much is cut that it fits with the note, where that fits at all."""
    cut = cut_middle(text, limit)
    if len(text) <= limit:
        assert cut == text
        return
    found = re.search(r"\[… ([\d,]+) characters cut …\]", cut)
    assert found is not None
    kept = len(text) - int(found[1].replace(",", ""))
    head = kept - kept // 2
    assert cut.startswith(text[:head])
    assert cut.endswith(text[len(text) - kept // 2 :])
    assert len(cut) <= max(limit, len(found[0]))
