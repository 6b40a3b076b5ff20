"""Cooldown: who rests, for how long, how it comes back, and that nobody rests unless asked for."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import closing
from typing import Any

import pytest
from played import HELLO, VirtualClock, listen_sync, provider

from nbretry.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigError,
    NotFoundError,
    RateLimitError,
    RestingError,
    RetryProviderError,
    ServerError,
)
from nbretry.prices import PriceTable
from nbretry.providers import RetryProvider
from nbretry.renderers.report import report_html, report_text
from nbretry.retry.contract import NamedProvider
from nbretry.retry.health import Cooldown, Health

DOWN = ServerError("down", status_code=500)
KEY = AuthenticationError("wrong key", status_code=401)


class Switch:
    """A provider that fails with this, or answers where it is None."""

    def __init__(self, name: str, failure: Exception | None = None) -> None:
        self.name = name
        self.failure = failure
        self.asked = 0

    def create_completion(self, model: str, messages: Any, **options: Any) -> Any:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        yield self.name


def chain(*providers: Any, **settings: Any) -> tuple[RetryProvider, VirtualClock]:
    clock = VirtualClock()
    cooldown = Cooldown(**{"failures": 2, "rest_initial": 10.0, **settings})
    return RetryProvider(providers, False, cooldown=cooldown, clock=clock), clock


def states(retry: RetryProvider) -> list[tuple[str, float]]:
    return [(health.state, health.resting_for) for health in retry.health()]


def test_by_default_nobody_rests() -> None:
    """Without a cooldown one run knows nothing of another, as the contract has it; the record is kept all the same."""
    bad, good = Switch("bad", DOWN), Switch("good")
    retry = RetryProvider([bad, good], False)
    for _ in range(9):
        assert listen_sync(retry).text == "good"
    assert bad.asked == 9
    assert [(health.provider, health.state, health.failures) for health in retry.health()] == [
        ("bad", "ready", 9),
        ("good", "ready", 0),
    ]


def test_a_provider_that_keeps_failing_rests() -> None:
    """After so many failures in a row it is passed over until it has rested, and the report says so."""
    bad, good = Switch("bad", DOWN), Switch("good")
    retry, clock = chain(bad, good)
    for _ in range(2):
        listen_sync(retry)
    assert states(retry) == [("resting", 10.0), ("ready", 0.0)]
    clock.now += 4
    answer = asyncio.run(retry.answer("", HELLO))
    assert (bad.asked, answer.text) == (2, "good")
    assert [attempt.state for attempt in answer.attempts] == ["skipped", "answered"]
    assert isinstance(answer.exceptions["bad"], RestingError)
    for report in (report_text(answer), report_html(answer)):
        assert "skipped: resting 6 s more, after ServerError: down" in report


def test_an_answer_makes_it_as_good_as_new() -> None:
    """Failures count only in a row."""
    bad = Switch("bad", DOWN)
    retry, _ = chain(bad, Switch("good"))
    for failure in (DOWN, None, DOWN, None, DOWN):
        bad.failure = failure
        listen_sync(retry)
    assert (bad.asked, states(retry)[0][0]) == (5, "ready")


def test_rests_grow_and_end_with_a_trial() -> None:
    """After a rest one question tries it: where that fails the next rest is twice as long, up to the longest."""
    bad = Switch("bad", DOWN)
    retry, clock = chain(bad, Switch("good"), rest_max=25.0)
    listen_sync(retry)
    for rest in (10.0, 20.0, 25.0, 25.0):
        listen_sync(retry)
        assert states(retry)[0] == ("resting", rest)
        clock.now += rest
    bad.failure = None
    assert listen_sync(retry).text == "bad"
    assert retry.health()[0].failures == 0
    bad.failure = DOWN
    listen_sync(retry)
    assert states(retry)[0][0] == "ready"


def test_one_trial_at_a_time() -> None:
    """While one question tries a provider after its rest, others pass it over; one that is stopped frees the trial."""
    good = Switch("good")
    slow = provider("slow", [DOWN], [DOWN], ["a ", "b"], ["c"])
    retry, clock = chain(slow, good)
    for _ in range(2):
        listen_sync(retry)
    clock.now += 10
    with closing(retry.create_completion("", HELLO, stream=True)) as trial:  # type: ignore[type-var]
        assert next(trial) == "a "
        assert retry.health()[0].state == "on trial"
        assert listen_sync(retry).text == "good"
    assert retry.health()[0].state == "ready"
    assert listen_sync(retry).text == "c"


def test_a_refused_key_rests_at_once() -> None:
    """A key that was refused is not tried with every question; a new key is."""
    bad = Switch("bad", KEY)
    bad.credentials = "one"  # type: ignore[attr-defined]
    retry, _ = chain(bad, Switch("good"))
    for _ in range(3):
        assert listen_sync(retry).text == "good"
    assert bad.asked == 1
    bad.credentials = "two"  # type: ignore[attr-defined]
    bad.failure = None
    assert listen_sync(retry).text == "bad"


def test_a_key_that_is_not_set_does_not_rest() -> None:
    """Where nothing was sent, the key can be set at any moment."""
    bad = Switch("bad", AuthenticationError("X_API_KEY is not set"))
    retry, _ = chain(bad, Switch("good"))
    for _ in range(5):
        listen_sync(retry)
    assert bad.asked == 5


@pytest.mark.parametrize(("seconds", "rest"), [(31.0, 31.0), (300.0, 300.0), (99999.0, 600.0)])
def test_a_long_retry_after_is_a_rest(seconds: float, rest: float) -> None:
    """Who says to come back later than is waited for rests for as long, up to the longest rest."""
    busy = Switch("busy", RateLimitError("no", status_code=429, retry_after=seconds))
    retry, clock = chain(busy, Switch("good"))
    listen_sync(retry)
    assert states(retry)[0] == ("resting", rest)
    clock.now += rest - 0.5
    listen_sync(retry)
    assert busy.asked == 1
    clock.now += 0.5
    listen_sync(retry)
    assert busy.asked == 2


@pytest.mark.parametrize("failure", [BadRequestError("no", status_code=400), NotFoundError("no", status_code=404)])
def test_a_failure_of_the_request_is_not_the_providers(failure: Exception) -> None:
    """A wrong request or an unknown model sends nobody to rest."""
    bad = Switch("bad", failure)
    retry, _ = chain(bad, Switch("good"))
    for _ in range(5):
        listen_sync(retry)
    assert (bad.asked, states(retry)[0][0]) == (5, "ready")


def test_where_all_rest_one_is_asked() -> None:
    """If all rest, the one that wakes first is asked rather than nobody, and only that one."""
    first, second = Switch("first", DOWN), Switch("second", DOWN)
    retry, clock = chain(first, second)
    for _ in range(2):
        listen_sync(retry)
        clock.now += 1
    retry._health.failed(first, RateLimitError("no", status_code=429, retry_after=90.0))
    before = first.asked, second.asked
    heard = listen_sync(retry)
    assert isinstance(heard.error, RetryProviderError)
    assert (first.asked, second.asked) == (before[0], before[1] + 1)
    assert [attempt.state for attempt in heard.error.attempts] == ["failed", "skipped"]
    second.failure = None
    assert listen_sync(retry).text == "second"


@pytest.mark.parametrize("names", [(), ("bad",)])
def test_one_call_resets_it(names: tuple[str, ...]) -> None:
    """`reset_health` ends the rests of all, or of those that are named."""
    bad, other = Switch("bad", KEY), Switch("other", KEY)
    retry, _ = chain(bad, other, Switch("good"))
    listen_sync(retry)
    retry.reset_health(*names)
    assert [state for state, _ in states(retry)] == ["ready", "resting" if names else "ready", "ready"]
    listen_sync(retry)
    assert (bad.asked, other.asked) == (2, 1 if names else 2)


def test_one_record_for_many() -> None:
    """A record can be shared: what one `RetryProvider` has learned the other goes by, under whatever name."""
    clock = VirtualClock()
    health = Health(Cooldown(), clock)
    bad = Switch("bad", KEY)
    listen_sync(RetryProvider([bad], health=health, clock=clock))
    other = RetryProvider([NamedProvider("alias", bad), Switch("good")], False, health=health, clock=clock)
    assert listen_sync(other).text == "good"
    assert other.health()[0].provider == "alias"
    assert (bad.asked, other.health()[0].state) == (1, "resting")


def test_first_content_is_timed() -> None:
    """The health has how long the first content took, the last time."""

    class Slow:
        @staticmethod
        def create_completion(model: str, messages: Any, **options: Any) -> Any:
            clock.now += 1.5
            yield "x"

    retry, clock = chain(Slow)
    listen_sync(retry)
    assert retry.health()[0].first_content == 1.5


@pytest.mark.parametrize("name", ["failures", "rest_initial", "rest_max", "retry_after_min"])
def test_a_wrong_number_is_told(name: str) -> None:
    """A setting that is not above 0 is one line."""
    with pytest.raises(ConfigError, match=f"the cooldown's {name} is 0, and should be above 0"):
        Cooldown(**{name: 0})


def test_who_rests_is_the_last_resort() -> None:
    """Where all who do not rest have failed, the one that wakes first is asked after all, and once."""
    resting, failing = Switch("resting", KEY), Switch("failing")
    retry, _ = chain(resting, failing)
    listen_sync(retry)
    failing.failure = DOWN
    answer = listen_sync(retry)
    assert isinstance(answer.error, RetryProviderError)
    found = [(attempt.provider, attempt.state) for attempt in answer.error.attempts]
    assert found == [("resting", "skipped"), ("failing", "failed"), ("resting", "failed")]
    assert [attempt.next_step for attempt in answer.error.attempts] == [None, "fallback", "stop"]
    resting.failure = None
    assert listen_sync(retry).text == "resting"


def test_failures_of_the_request_do_not_add_up() -> None:
    """Before a failure of the provider's own they count for nothing, and neither does a key that was not set."""
    for failure in (NotFoundError("no", status_code=404), AuthenticationError("KEY is not set")):
        bad = Switch("bad", failure)
        retry, _ = chain(bad, Switch("good"))
        listen_sync(retry)
        bad.failure = DOWN
        listen_sync(retry)
        assert states(retry)[0] == ("ready", 0.0)


def test_a_trial_that_cannot_begin_is_no_trial() -> None:
    """Where a run breaks before the provider is asked, the next run may still try it."""

    class Prices(PriceTable):
        broken = False

        def price(self, *args: Any, **kwargs: Any) -> Any:
            if self.broken:
                raise ValueError("broken")
            return super().price(*args, **kwargs)

    bad, clock, prices = Switch("bad", KEY), VirtualClock(), Prices()
    retry = RetryProvider([bad, Switch("good")], False, cooldown=Cooldown(), clock=clock, prices=prices)
    listen_sync(retry)
    clock.now += 10
    prices.broken = True
    assert isinstance(listen_sync(retry).error, ValueError)
    prices.broken, bad.failure = False, None
    assert listen_sync(retry).text == "bad"


def test_the_record_keeps_nobody_alive() -> None:
    """A provider that is made for one question goes with it, and so does its record."""
    health = Health(Cooldown())
    lasting = Switch("lasting")
    asked = []
    for _ in range(20):
        passing = Switch("passing", ServerError("down", status_code=500))
        asked.append(weakref.ref(passing))
        assert listen_sync(RetryProvider([passing, lasting], False, health=health)).text == "lasting"
        assert health.of(passing, "").failures == 1
    del passing
    gc.collect()
    assert [one() for one in asked] == [None] * 20
    assert len(health._records) == 1


def test_a_trial_belongs_to_who_began_it() -> None:
    """A run that had begun before the rest, and ends during the trial, does not end the trial."""
    slow = provider("slow", ["a ", "b"], [DOWN], [DOWN], ["c ", "d"], ["e"])
    retry, clock = chain(slow, Switch("good"))
    old = retry.create_completion("", HELLO, stream=True)
    assert next(old) == "a "
    for _ in range(2):
        listen_sync(retry)
    clock.now += 10
    with closing(retry.create_completion("", HELLO, stream=True)) as trial:  # type: ignore[type-var]
        assert next(trial) == "c "
        old.close()  # type: ignore[attr-defined]
        assert retry.health()[0].state == "on trial"
        assert listen_sync(retry).text == "good"
