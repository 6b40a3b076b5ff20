"""The rows of the panel's picker: real widgets over a real session, driven by their own traits and events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import ipywidgets
import pytest
from page import Page

from nbretry._utils.clock import SYSTEM_CLOCK
from nbretry.errors import APIConnectionError
from nbretry.notebook.kernel.loop_thread import spawn
from nbretry.notebook.panel.model_list import MOST_SHOWN
from nbretry.notebook.panel.picker import PICKER_STYLE, PickerView
from nbretry.notebook.panel.state import PanelState, ProviderChoice, Standing
from nbretry.providers import OpenAIProvider, ScriptedProvider
from nbretry.session.session import Session

WITHIN = 60.0
"""Seconds, for what takes a few on a busy machine."""

SECRET = "sk-" + "0123456789abcdefghij"


class Clock:
    """The system's, but that time stands still."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.time = SYSTEM_CLOCK.time
        self.sleep = SYSTEM_CLOCK.sleep
        self.asleep = SYSTEM_CLOCK.asleep
        self.random = SYSTEM_CLOCK.random

    def monotonic(self) -> float:
        return self.now


class Lister(ScriptedProvider):
    """Lists these models, where it is held once it is released."""

    def __init__(self, *names: str, model: str = "", held: bool = False) -> None:
        super().__init__(model=model)
        self.names = names
        self.calls_for_list = 0
        self.released = threading.Event()
        self.failure: Exception | None = None
        if not held:
            self.released.set()

    def list_models(self) -> list[str]:
        self.calls_for_list += 1
        assert self.released.wait(WITHIN)
        if self.failure is not None:
            raise self.failure
        return list(self.names)


class Silent:
    """Does not say which models it has."""

    async def create_async_generator(self, model: str, messages: Any, **options: Any) -> Any:
        yield "yes"


def in_background(task: Coroutine[Any, Any, None]) -> None:
    spawn(lambda: task, lambda ended: ended.result())


class Desk:
    """The picker with what the panel does around it."""

    def __init__(self, session: Session, names: Sequence[str]) -> None:
        self.state = PanelState(session, names)
        self.lock = threading.RLock()
        self.showed = threading.Condition(self.lock)
        self.changes = 0
        self.picker = PickerView(self.state, self.lock, self.changed, in_background)
        self.show()

    def changed(self) -> None:
        self.changes += 1
        self.show()
        self.showed.notify_all()

    def show(self) -> None:
        with self.lock:
            self.picker.show()
            self.picker.show_standings({choice: self.state.standing(choice) for choice in self.state.choices})

    def until(self, is_true: Callable[[], bool]) -> None:
        with self.lock:
            assert self.showed.wait_for(is_true, WITHIN)

    def control(self, words: str) -> Any:
        """The control with this description."""
        return next(one for one in self.picker.controls if one.description == words)

    def row(self, name: str) -> Any:
        return next(row for row in self.rows if row.children[0].description == name)

    @property
    def rows(self) -> list[Any]:
        """The rows as they stand below each other; those that are not shown as well."""
        box = next(part for part in parts(self.picker.widget) if "nbretry-picker-rows" in part._dom_classes)
        return sorted(box.children, key=lambda row: int(row.layout.order))

    @property
    def order(self) -> list[str]:
        return [row.children[0].description for row in self.rows]

    @property
    def shown(self) -> list[str]:
        return [row.children[0].description for row in self.rows if is_shown(row)]

    def facts(self, name: str) -> list[str]:
        """The texts of a row: place, state, time to the first token, price."""
        facts = next(part for part in self.row(name).children if "nbretry-facts" in part._dom_classes)
        page = Page(facts.value)
        page.assert_well_formed()
        page.assert_harmless()
        return facts.value.replace('</span><span class="nbretry-', '</span>\n<span class="nbretry-').split("\n")

    def text_of(self, name: str) -> str:
        return " ".join(Page("".join(self.facts(name))).text.split())

    def line(self, name: str) -> str:
        """The line below a row; empty where nothing is open there."""
        lists = self.row(name).children[-1]
        if not is_shown(lists):
            return ""
        line = next(part for part in parts(lists) if isinstance(part, ipywidgets.HTML))
        page = Page(line.value)
        page.assert_well_formed()
        page.assert_harmless()
        return page.text

    def opener(self, name: str) -> Any:
        return next(part for part in parts(self.row(name)) if isinstance(part, ipywidgets.ToggleButton))

    def open(self, name: str) -> None:
        """Press ▾ as a page does, which must be up."""
        assert not self.opener(name).value
        self.opener(name).set_state({"value": True})

    def close(self, name: str) -> None:
        assert self.opener(name).value
        self.opener(name).set_state({"value": False})

    def labels(self, name: str) -> list[str]:
        """What the list below a row offers; empty where there is none to be seen."""
        lists = self.row(name).children[-1]
        select = next((part for part in parts(lists) if isinstance(part, ipywidgets.Select)), None)
        if select is None or not is_shown(select) or not is_shown(lists):
            return []
        return [label for label, _ in select.options]

    def pick(self, name: str, place: int) -> None:
        self.control(f"models of {name}").set_state({"index": place})

    def choice(self, name: str) -> ProviderChoice:
        return next(choice for choice in self.state.choices if choice.name == name)


def parts(widget: Any) -> Iterator[Any]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from parts(child)


def is_shown(widget: Any) -> bool:
    return "nbretry-hidden" not in widget._dom_classes


def press_enter(field: Any) -> None:
    """What a page sends for it."""
    field._handle_custom_msg({"event": "submit"}, [])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def session(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    session = Session(clock=clock)
    for name in ("first", "second", "third"):
        session.register(name, Lister(f"{name}-small", f"{name}-large", model=f"{name}-large"))
    return session


@pytest.fixture
def desk(session: Session) -> Desk:
    return Desk(session, ["first", "second", "third"])


def many(session: Session, count: int) -> Desk:
    names = [f"number-{number}" for number in range(count)]
    for name in names:
        session.register(name, Lister(model="odd" if int(name[7:]) % 2 else "even"))
    return Desk(session, names)


# --- rows -------------------------------------------------------------------------------------------------------------


def test_a_row_passes_on_what_the_user_does(desk: Desk) -> None:
    """A row's box and model go to its choice, and the panel is told of each change once."""
    before = desk.changes
    desk.control("second").set_state({"value": False})
    desk.control("model of second").set_state({"value": " small "})
    assert [(one.name, one.on, one.model) for one in desk.state.choices] == [
        ("first", True, ""),
        ("second", False, " small "),
        ("third", True, ""),
    ]
    assert desk.changes == before + 2
    assert desk.control("model of second").value == " small ", "what is typed stays as it was typed"
    assert "nbretry-off" in desk.row("second")._dom_classes


def test_every_control_names_its_provider(desk: Desk) -> None:
    """What each control is for is told in words that name its provider, also those of an open list."""
    desk.open("second")
    desk.until(lambda: bool(desk.labels("second")))
    for name in desk.order:
        controls = [part for part in parts(desk.row(name)) if part in desk.picker.controls]
        assert len(controls) == (8 if name == "second" else 5)
        for control in controls:
            assert control.tooltip
            assert name in f"{control.description} {control.tooltip}"
    usable = (ipywidgets.Button, ipywidgets.Checkbox, ipywidgets.Text, ipywidgets.Select, ipywidgets.ToggleButton)
    operated = [part for part in parts(desk.picker.widget) if isinstance(part, usable)]
    assert {id(part) for part in operated} == {id(control) for control in desk.picker.controls}


def test_moving(desk: Desk) -> None:
    """The arrows change the order of asking and stop at the ends; each row says its place."""
    assert [desk.control(f"ask {name} earlier").disabled for name in desk.order] == [True, False, False]
    assert [desk.control(f"ask {name} later").disabled for name in desk.order] == [False, False, True]
    desk.control("ask third earlier").click()
    desk.control("ask third earlier").click()
    assert desk.order == [one.name for one in desk.state.choices] == ["third", "first", "second"]
    assert [desk.text_of(name)[:2] for name in desk.order] == ["1.", "2.", "3."]
    assert desk.control("ask third earlier").disabled
    before = desk.changes
    desk.control("ask third earlier").click()
    assert (desk.order, desk.changes) == (["third", "first", "second"], before)


def test_what_changes_leaves_the_widgets_as_they_are(desk: Desk) -> None:
    """Whatever happens to a row, its widgets and its element in the page stay the same, and so keep the focus."""
    box = next(part for part in parts(desk.picker.widget) if "nbretry-picker-rows" in part._dom_classes)
    rows, widgets = box.children, {id(part) for part in parts(desk.picker.widget)}
    desk.control("ask third earlier").click()
    desk.control("model of first").set_state({"value": "x"})
    desk.control("first").set_state({"value": False})
    desk.state.session.health.failed(desk.state.session.provider("first"), ConnectionError("reset"))
    desk.show()
    assert box.children == rows
    assert {id(part) for part in parts(desk.picker.widget)} == widgets


def test_nothing_is_sent_for_what_stays(desk: Desk) -> None:
    """Showing the same again changes no trait, so that nothing goes to the page."""
    desk.open("first")
    desk.until(lambda: bool(desk.labels("first")))
    seen: list[Any] = []
    for part in parts(desk.picker.widget):
        part.observe(seen.append)
        part.layout.observe(seen.append)
    desk.show()
    assert seen == []
    desk.control("first").set_state({"value": False})
    assert seen, "and this would have seen a change"


def test_it_follows_the_state(desk: Desk, session: Session) -> None:
    """Rows come and go with the choices; a provider that is offered anew with a model keeps its widgets."""
    row, gone = desk.row("second"), desk.row("first")
    session.register("fourth", Lister(model="four"))
    desk.state.choices = [ProviderChoice("fourth"), ProviderChoice("second", False, "tiny")]
    desk.show()
    assert desk.order == ["fourth", "second"]
    assert desk.row("second") is row
    assert (desk.control("model of second").value, desk.control("second").value) == ("tiny", False)
    assert gone.comm is None, "closed"
    desk.control("model of second").set_state({"value": "large"})
    assert desk.state.choices[1].model == "large", "it goes to the new choice"
    desk.state.choices = []
    desk.show()
    nobody = next(part for part in parts(desk.picker.widget) if "Nobody is offered" in getattr(part, "value", ""))
    assert is_shown(nobody)
    desk.state.add("first")
    desk.show()
    assert desk.order == ["first"]
    assert not is_shown(nobody)


def test_one_provider_twice(session: Session) -> None:
    """One provider with two models has two rows, each for its own model."""
    desk = Desk(session, ["first:small", "first:large"])
    models = [part for part in desk.picker.controls if isinstance(part, ipywidgets.Combobox)]
    assert [field.value for field in models] == ["small", "large"]
    models[1].set_state({"value": "huge"})
    assert [choice.model for choice in desk.state.choices] == ["small", "huge"]
    desk.state.move(desk.state.choices[1], -1)
    desk.show()
    rows = [next(part for part in parts(row) if isinstance(part, ipywidgets.Combobox)).value for row in desk.rows]
    assert rows == ["huge", "small"]


def test_what_is_being_typed_is_not_put_back(desk: Desk) -> None:
    """What a page types at the moment when another thread shows the state is kept, and goes to the state."""
    field = desk.control("model of first")
    field.set_state({"value": "a"})
    with desk.lock:
        page = threading.Thread(target=lambda: field.set_state({"value": "ab"}))
        page.start()
        deadline = time.monotonic() + WITHIN
        while field.value != "ab" and time.monotonic() < deadline:
            time.sleep(0.005)
        desk.show()
        assert (field.value, desk.choice("first").model) == ("ab", "a")
    page.join(WITHIN)
    assert (field.value, desk.choice("first").model) == ("ab", "ab")


def test_a_key_in_a_models_field_is_taken_away(desk: Desk) -> None:
    """What looks like a key goes neither into the state nor stays in the field; the row says why."""
    field = desk.control("model of first")
    field.set_state({"value": SECRET})
    assert (field.value, desk.choice("first").model) == ("", "")
    assert "that looks like a key" in desk.line("first")
    assert not any(SECRET in str(part.get_state()) for part in parts(desk.picker.widget))
    field.set_state({"value": "gpt"})
    assert (desk.line("first"), desk.choice("first").model) == ("", "gpt")


def test_a_key_in_a_model_that_was_named_elsewhere(session: Session) -> None:
    """A key in a name from a setting or a call is masked in the field, and still asked with."""
    desk = Desk(session, [f"first:tuned-{SECRET}"])
    assert desk.control("model of first").value == "tuned-[secret]"
    desk.choice("first").model = SECRET
    desk.show()
    assert desk.control("model of first").value == "[secret]"
    assert desk.choice("first").written == f"first:{SECRET}", "what is masked is not taken for typed"
    assert not any(SECRET in str(part.get_state()) for part in parts(desk.picker.widget))


# --- how they are doing -----------------------------------------------------------------------------------------------


def test_how_they_are_doing(desk: Desk, session: Session) -> None:
    """State, time to the first token and price are told in words beside a sign; what is not known is a dash."""
    session.register("keyless", OpenAIProvider())
    session.prices.set("first/first-large", 0.15, 0.5)
    desk.state.add("keyless")
    session.health.failed(session.provider("second"), APIConnectionError("refused"))
    session.health.content_came(session.provider("third"), 0.41)
    desk.show()
    assert desk.text_of("first") == "1.✓ready—$0.15 in, $0.50 out"
    assert desk.text_of("second").startswith("2.✗")
    assert desk.text_of("third") == "3.✓ready0.41 s—"
    assert desk.text_of("keyless").startswith("4.–no key: set OPENAI_API_KEY")
    assert desk.control("model of first").placeholder == "first-large"
    assert "$0.15 in, $0.50 out for a million tokens" in desk.facts("first")[-1]


def test_hostile_words(desk: Desk) -> None:
    """What strangers say is text and no HTML, on one line, not without end, and without keys; also as a title."""
    words = f'failed once: <script>x()</script> "quoted" \n {SECRET} ' + "x" * 10_000
    with desk.lock:
        desk.picker.show_standings({desk.choice("first"): Standing("failing", words, SECRET, 2.5, '<b onclick="x">')})
    html = "".join(desk.facts("first"))
    assert "<script" not in html
    assert "<b" not in html
    assert 'failed once: <script>x()</script> "quoted" [secret] xxx' in desk.text_of("first")
    assert len(html) < 3000
    assert desk.control("model of first").placeholder == "[secret]"
    assert not any(SECRET in str(part.get_state()) for part in parts(desk.picker.widget))


def test_a_provider_that_is_known_no_more(desk: Desk) -> None:
    """A provider that has vanished is one row that says so, and its list is one line."""
    desk.state.choices.append(ProviderChoice("ghost"))
    desk.show()
    assert "there is no provider named 'ghost'" in desk.text_of("ghost")
    desk.open("ghost")
    assert "there is no provider named 'ghost'" in desk.line("ghost")
    with desk.lock:
        desk.picker.show_standings({ProviderChoice("nobody"): Standing("ready", "ready")})  # no row of ours


# --- models -----------------------------------------------------------------------------------------------------------


def test_picking_a_model(desk: Desk) -> None:
    """▾ lists what the endpoint offers, its own first; what is picked goes into the field, and the list closes."""
    desk.open("first")
    assert desk.opener("first").tooltip == "close the list of the models of first"
    desk.until(lambda: bool(desk.labels("first")))
    assert desk.labels("first") == ["its own: first-large  ✓", "first-large", "first-small"]
    assert desk.line("first") == "2 models"
    assert desk.control("model of first").options == ("first-large", "first-small")
    desk.pick("first", 2)
    assert (desk.choice("first").model, desk.control("model of first").value) == ("first-small", "first-small")
    assert (desk.labels("first"), desk.line("first"), desk.opener("first").value) == ([], "", False)
    desk.open("first")
    assert desk.labels("first") == ["its own: first-large", "first-large", "first-small  ✓"]
    desk.pick("first", 2)
    assert not desk.opener("first").value, "what is chosen already can be picked, too"
    desk.open("first")
    desk.pick("first", 0)
    assert (desk.choice("first").model, desk.control("model of first").value) == ("", "")


def test_while_it_is_fetched(desk: Desk, session: Session) -> None:
    """Until the list comes a line says so; it is asked for once, and closed it comes all the same, and stays closed."""
    slow = Lister("one", "two", held=True)
    session.register("slow", slow)
    desk.state.add("slow")
    desk.show()
    desk.open("slow")
    assert desk.line("slow") == "listing the models of slow …"
    desk.close("slow")
    assert desk.line("slow") == ""
    desk.open("slow")
    desk.close("slow")
    slow.released.set()
    desk.until(lambda: desk.control("model of slow").options == ("one", "two"))
    assert (desk.line("slow"), desk.labels("slow"), desk.opener("slow").value) == ("", [], False)
    desk.open("slow")
    assert desk.labels("slow") == ["its own  ✓", "one", "two"], "at once"
    assert slow.calls_for_list == 1


def test_a_list_grows_old(desk: Desk, session: Session, clock: Clock) -> None:
    """Opened again soon a list is there at once; after some minutes it is asked for again."""
    first = session.provider("first")
    desk.open("first")
    desk.until(lambda: bool(desk.labels("first")))
    desk.close("first")
    clock.now += 60
    desk.open("first")
    assert (len(desk.labels("first")), first.calls_for_list) == (3, 1)
    desk.close("first")
    first.names = ("new",)
    clock.now += 120
    desk.open("first")
    desk.until(lambda: "new" in desk.labels("first"))
    assert desk.labels("first") == ["its own: first-large  ✓", "first-large", "new"]
    assert first.calls_for_list == 2


def test_one_list_at_a_time(desk: Desk, session: Session) -> None:
    """Opening a second list closes the first, whose names come all the same."""
    slow = Lister("one", held=True)
    session.register("slow", slow)
    desk.state.add("slow")
    desk.show()
    desk.open("slow")
    desk.open("second")
    desk.until(lambda: bool(desk.labels("second")))
    assert (desk.opener("slow").value, desk.line("slow")) == (False, "")
    slow.released.set()
    desk.until(lambda: desk.control("model of slow").options == ("one",))
    assert (desk.labels("slow"), len(desk.labels("second"))) == ([], 3)


def test_a_list_that_fails(desk: Desk, session: Session) -> None:
    """Why no list came is one line without keys and HTML; it can be asked for again, by a button and by ▾."""
    first = session.provider("first")
    first.failure = APIConnectionError(f"cannot connect:\n<b>{SECRET}</b>")
    desk.open("first")
    desk.until(lambda: desk.line("first").startswith("✗"))
    assert desk.line("first") == "✗ APIConnectionError: cannot connect: <b>[secret]</b>"
    again = desk.control("Try again")
    assert is_shown(again)
    again.click()
    desk.until(lambda: first.calls_for_list == 2 and desk.line("first").startswith("✗"))
    desk.close("first")
    assert desk.line("first") == ""
    first.failure = None
    desk.open("first")
    desk.until(lambda: bool(desk.labels("first")))
    assert (desk.line("first"), is_shown(again)) == ("2 models", False)


def test_who_does_not_say(desk: Desk, session: Session) -> None:
    """A provider that lists nothing, or does not say what it has, is told in a line; a model can be typed."""
    session.register("silent", Silent())
    session.register("empty", Lister())
    for name in ("silent", "empty"):
        desk.state.add(name)
    desk.show()
    desk.open("silent")
    desk.until(lambda: "✗" in desk.line("silent"))
    assert "silent" in desk.line("silent")
    desk.open("empty")
    desk.until(lambda: desk.line("empty").startswith("empty lists no models"))
    desk.control("model of empty").set_state({"value": "typed"})
    assert desk.choice("empty").model == "typed"


def test_another_provider_of_the_same_name(desk: Desk, session: Session) -> None:
    """Where a name comes to stand for another provider, what the one before says is not shown as the other's."""
    before = Lister("old", held=True)
    session.register("first", before)
    desk.open("first")
    session.register("first", Lister("new"))
    desk.close("first")
    desk.open("first")
    desk.until(lambda: bool(desk.labels("first")))
    before.released.set()
    desk.open("third")
    desk.until(lambda: bool(desk.labels("third")))
    assert desk.control("model of first").options == ("new",)
    session.register("first", Lister("newest"))
    desk.open("first")
    desk.until(lambda: desk.labels("first") == ["its own  ✓", "newest"])


def test_a_provider_that_goes_while_it_is_asked(desk: Desk, session: Session) -> None:
    """A list that comes for a row which is gone changes nothing and breaks nothing."""
    slow = Lister("one", held=True)
    session.register("slow", slow)
    desk.state.add("slow")
    desk.show()
    desk.open("slow")
    desk.state.choices.pop()
    desk.show()
    before = desk.changes
    slow.released.set()
    desk.until(lambda: desk.changes > before)
    assert desk.order == ["first", "second", "third"]


def test_hostile_names(desk: Desk, session: Session) -> None:
    """Names of models are never HTML; what is picked is what is asked for; one with a key is left out."""
    hostile = ["<img src=x onerror=x()>", "a b", "</script>", "$x^2$", f"a/{SECRET}", "two\nlines"]
    session.register("hostile", Lister(*hostile))
    desk.state.add("hostile")
    desk.show()
    desk.open("hostile")
    desk.until(lambda: bool(desk.labels("hostile")))
    assert desk.labels("hostile")[1:] == hostile[:4]
    html = "".join(part.value for part in parts(desk.picker.widget) if isinstance(part, ipywidgets.HTML))
    assert not any(name in html for name in hostile)
    desk.pick("hostile", 1)
    assert desk.choice("hostile").model == hostile[0]
    assert not any(SECRET in str(part.get_state()) for part in parts(desk.picker.widget))


def test_filtering_models(desk: Desk, session: Session) -> None:
    """A long list has a filter: every word counts, what is just that comes first, and Enter picks the first."""
    names = [f"gpt-{number}-{size}" for number in range(4) for size in ("mini", "large")] + ["mini"]
    session.register("long", Lister(*names))
    desk.state.add("long")
    desk.show()
    desk.open("long")
    desk.until(lambda: bool(desk.labels("long")))
    typed = desk.control("filter the models of long")
    assert is_shown(typed)
    assert desk.line("long") == "9 models"
    press_enter(typed)
    assert desk.opener("long").value, "nothing was typed that could be meant"
    typed.set_state({"value": "MINI"})
    assert desk.labels("long") == ["mini", "gpt-0-mini", "gpt-1-mini", "gpt-2-mini", "gpt-3-mini"]
    assert desk.line("long") == "5 of 9 models · Enter picks the first"
    typed.set_state({"value": "2 gpt"})
    assert desk.labels("long") == ["gpt-2-mini", "gpt-2-large"]
    typed.set_state({"value": "none"})
    assert (desk.labels("long"), desk.line("long")) == ([], "0 of 9 models")
    press_enter(typed)
    assert desk.opener("long").value
    typed.set_state({"value": "large"})
    press_enter(typed)
    assert (desk.choice("long").model, desk.opener("long").value) == ("gpt-0-large", False)
    desk.open("long")
    assert (typed.value, len(desk.labels("long"))) == ("", 10), "the filter is empty again"
    desk.open("first")
    desk.until(lambda: bool(desk.labels("first")))
    assert not is_shown(desk.control("filter the models of first"))


def test_a_very_long_list(desk: Desk, session: Session) -> None:
    """Of thousands of names some hundreds are sent to the page; a line says how many more there are."""
    session.register("huge", Lister(*(f"model-{number}" for number in range(3000))))
    desk.state.add("huge")
    desk.show()
    desk.open("huge")
    desk.until(lambda: bool(desk.labels("huge")))
    assert desk.line("huge") == "3,000 models; 2,600 more than are shown: type to see them"
    assert (len(desk.labels("huge")), len(desk.control("model of huge").options)) == (MOST_SHOWN + 1, MOST_SHOWN)
    desk.control("filter the models of huge").set_state({"value": "2999"})
    assert desk.labels("huge") == ["model-2999"]
    desk.pick("huge", 0)
    assert desk.choice("huge").model == "model-2999"


# --- search -----------------------------------------------------------------------------------------------------------


def test_few_need_no_search(session: Session) -> None:
    """Up to eight rows there is no search box; with more there is, and it goes again with the ninth row."""
    assert not is_shown(many(session, 8).picker.widget.children[0])
    desk = many(session, 9)
    assert is_shown(desk.picker.widget.children[0])
    desk.control("search the providers").set_state({"value": "number-3"})
    assert desk.shown == ["number-3"]
    desk.state.choices.pop()
    desk.show()
    assert not is_shown(desk.picker.widget.children[0])
    assert len(desk.shown) == 8, "what is hidden hides nothing"


def test_searching(session: Session) -> None:
    """Rows are found by name, model and state; a line says how many are shown; the order changes in the whole list."""
    desk = many(session, 12)
    search = desk.control("search the providers")
    count = next(part for part in parts(desk.picker.widget.children[0]) if isinstance(part, ipywidgets.HTML))
    assert count.value == ""
    search.set_state({"value": " ODD number-1 "})
    assert desk.shown == ["number-1", "number-11"]
    assert count.value == "2 of 12 shown"
    desk.control("ask number-11 earlier").click()
    assert desk.order[-2:] == ["number-11", "number-10"]
    assert [choice.name for choice in desk.state.choices][-2:] == ["number-11", "number-10"]
    assert desk.text_of("number-11").startswith("11.")
    desk.control("model of number-2").set_state({"value": "special"})
    search.set_state({"value": "special"})
    assert desk.shown == ["number-2"]
    search.set_state({"value": "failed"})
    assert desk.shown == []
    session.health.failed(session.provider("number-4"), ValueError("oh"))
    desk.show()
    assert desk.shown == ["number-4"], "as soon as it is known"
    search.set_state({"value": ""})
    assert (len(desk.shown), count.value) == (12, "")


def test_all_on_and_all_off(session: Session) -> None:
    """All that are shown are switched, and no others; a button that would change nothing is disabled."""
    desk = many(session, 10)
    on, off = desk.control("All on"), desk.control("All off")
    assert (on.disabled, off.disabled) == (True, False)
    desk.control("search the providers").set_state({"value": "even"})
    off.click()
    assert [choice.name for choice in desk.state.choices if choice.on] == [f"number-{odd}" for odd in (1, 3, 5, 7, 9)]
    assert [desk.control(f"number-{number}").value for number in range(4)] == [False, True, False, True]
    assert (on.disabled, off.disabled) == (False, True)
    desk.control("search the providers").set_state({"value": ""})
    assert (on.disabled, off.disabled) == (False, False)
    on.click()
    assert all(choice.on for choice in desk.state.choices)


# --- threads ----------------------------------------------------------------------------------------------------------


def test_from_many_threads(session: Session) -> None:
    """Whatever threads the clicks, the typing and the lists come in, at the end the rows show the state."""
    desk = many(session, 10)
    failures: list[BaseException] = []

    def use(name: str) -> None:
        try:
            for turn in range(8):
                desk.control(f"ask {name} later").click()
                desk.control(f"model of {name}").set_state({"value": f"{name}/{turn}"})
                desk.control(name).set_state({"value": bool(turn % 2)})
                desk.opener(name).set_state({"value": not desk.opener(name).value})
                desk.control("search the providers").set_state({"value": name[-turn:]})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(choice.name,)) for choice in desk.state.choices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WITHIN)
    assert failures == []
    assert desk.order == [choice.name for choice in desk.state.choices]
    assert len(set(desk.order)) == 10
    for choice in desk.state.choices:
        assert desk.control(f"model of {choice.name}").value == choice.model == f"{choice.name}/7"
        assert desk.control(choice.name).value is choice.on is True


def test_the_style_reaches_no_further_than_the_panel() -> None:
    """Every rule of the style is for what is in a panel."""
    rules = [line for line in PICKER_STYLE.splitlines() if line.endswith("{") or "{ " in line]
    assert len(rules) > 30
    for rule in rules:
        assert rule.strip().startswith((".nbretry-panel ", "@container nbretry-picker")) or rule.startswith("  "), rule
