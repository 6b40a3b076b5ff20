"""The panel's settings, which are real widgets over a real session, driven by their own traits as a browser does it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import traitlets
from hypothesis import given, settings
from hypothesis import strategies as st
from page import Page

from nbretry._utils.redaction import remember_secret
from nbretry.config.schema import DEFAULT, SETTINGS, Setting, text_of
from nbretry.config.settings import IN_SESSION, Settings
from nbretry.notebook.panel.settings_view import SETTINGS_STYLE, SettingsView
from nbretry.retry.deadlines import Deadlines
from nbretry.session.session import Session

PATIENCE = 60
KEY = "sk-98765432109abcdefghijklmn"

OTHERS: dict[str, tuple[str, Any]] = {
    "retries": ("3", 3),
    "rounds": ("5", 5),
    "connect": ("2.5", 2.5),
    "first_content": ("20", 20.0),
    "idle": ("30", 30.0),
    "total": ("120", 120.0),
    "on_break": ("continue", "continue"),
    "hedge_after": ("p90", "p90"),
    "temperature": ("0.7", 0.7),
    "max_tokens": ("500", 500),
    "max_cost": ("0.05", 0.05),
    "budget": ("1234567.5", 1234567.5),
}
"""By key what is not its default: as typed, and as it is used."""

WRONG: dict[str, str] = {
    "retries": "'often' is no number of retries: write a whole number from 0 to 20",
    "rounds": "'often' is no number of rounds: write a whole number from 1 to 20",
    "connect": "'often' is no time limit: write a number of seconds above 0, or none for no limit",
    "first_content": "'often' is no time limit: write a number of seconds above 0, or none for no limit",
    "idle": "'often' is no time limit: write a number of seconds above 0, or none for no limit",
    "total": "'often' is no time limit: write a number of seconds above 0, or none for no limit",
    "hedge_after": "'often' is no time: write seconds, or p90 for the time within which 90 % have begun to answer, "
    "or none for no limit",
    "temperature": "'often' is no temperature: write a number from 0 to 2",
    "max_tokens": "'often' is no number of tokens: write a whole number from 1",
    "max_cost": "'often' is no amount of money: write US dollars, as 0.05, or none for no limit",
    "budget": "'often' is no amount of money: write US dollars, as 0.05, or none for no limit",
}

TEXTS = [key for key in OTHERS if key != "on_break"]


class Tab:
    """The settings of a session as somebody sees and changes them."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.lock = threading.RLock()
        self.changes = 0
        self.view = SettingsView(session, self.lock, self._changed)
        boxes = [one for one in self.view.widget.children if hasattr(one, "children")]
        self.rows = {box.children[0].description.lower().replace(" ", "_"): box for box in boxes}

    def _changed(self) -> None:
        self.changes += 1
        self.view.show()

    def field(self, key: str) -> Any:
        return self.rows[key].children[0]

    def undo(self, key: str) -> Any:
        return self.rows[key].children[2]

    def type(self, key: str, text: str) -> None:
        """What a browser sends once Enter is pressed or the field is left, or a word is chosen."""
        field = self.field(key)
        if hasattr(field, "options"):
            field.set_state({"index": field.options.index(text)})
        else:
            field.set_state({"value": text})

    def unit(self, key: str) -> str:
        return Page(self.rows[key].children[1].value).text

    def words(self, key: str) -> str:
        return Page(self.rows[key].children[3].value).text

    def wrong(self, key: str) -> str:
        """The line that is to be seen under a field; empty where there is none."""
        line = self.rows[key].children[4]
        return Page(line.value).text if "nbretry-hidden" not in line._dom_classes else ""

    def errors(self) -> str:
        """The lines that are to be seen above the rows."""
        lines = self.view.widget.children[0]
        return Page(lines.value).text if "nbretry-hidden" not in lines._dom_classes else ""

    def widgets(self) -> list[Any]:
        found = [self.view.widget]
        for widget in found:
            found += getattr(widget, "children", ())
        return found

    def state(self) -> str:
        """All that browsers are told, and a notebook may be saved with."""
        return "".join(str(widget.get_state()) for widget in self.widgets())


@pytest.fixture
def environment() -> dict[str, str]:
    return {"NBRETRY_CONFIG": os.devnull}


@pytest.fixture
def tab(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tab]:
    monkeypatch.chdir(tmp_path)
    tab = Tab(Session(settings=Settings(environment)))
    yield tab
    for widget in tab.widgets():
        widget.close()


def test_every_setting_has_a_row(tab: Tab) -> None:
    """A row has a label, its unit, the sentence of ``%nbretry config`` and the default; of that it tells no source."""
    assert set(tab.rows) == set(OTHERS)
    for key, definition in SETTINGS.items():
        if key in tab.rows:
            default = "none" if definition.takes_none else "the provider's own"
            shown = default if definition.default is None else text_of(definition.default)
            assert tab.words(key).startswith(definition.meaning) or key == "on_break"
            assert tab.words(key).endswith((f"default {shown}", f"default: {shown}"))
            assert tab.field(key).tooltip == definition.meaning
            assert tab.undo(key).description == f"Undo {tab.field(key).description}"
            assert tab.undo(key).tooltip
    assert all(f" {word} " in tab.words("on_break") for word in tab.field("on_break").options)
    assert [tab.unit(key) for key in ("retries", "idle", "max_tokens", "budget")] == [
        "times",
        "seconds",
        "tokens",
        "US dollars",
    ]
    assert tab.field("first_content").description == "First content"
    assert [tab.field(key).value for key in ("retries", "idle", "total", "temperature", "on_break")] == [
        "0",
        "60",
        "",
        "",
        "restart",
    ]
    assert [tab.field(key).placeholder for key in ("retries", "idle", "total", "temperature")] == [
        "0",
        "60",
        "none",
        "provider's own",
    ]
    assert list(tab.view.controls) == [part for box in tab.rows.values() for part in (box.children[0], box.children[2])]


@pytest.mark.parametrize("key", OTHERS)
def test_what_is_typed_is_set_and_can_be_undone(tab: Tab, key: str) -> None:
    """What is typed counts for the session as by ``%nbretry config``; the button beside it undoes that."""
    text, value = OTHERS[key]
    before = tab.field(key).value
    assert tab.undo(key).disabled
    tab.type(key, text)
    assert tab.session.setting(key) == Setting(key, value, IN_SESSION)
    assert (tab.field(key).value, tab.wrong(key), tab.changes) == (text, "", 1)
    assert tab.words(key).endswith("set for this session (%nbretry config)")
    assert [one for one in tab.rows if not tab.undo(one).disabled] == [key]
    tab.undo(key).click()
    assert tab.session.setting(key).source == DEFAULT
    assert (tab.field(key).value, tab.undo(key).disabled, tab.changes) == (before, True, 2)


@pytest.mark.parametrize("key", OTHERS)
def test_what_is_set_elsewhere_is_shown(tab: Tab, key: str) -> None:
    """What ``%nbretry config`` sets and unsets is in the row at the next look, and nobody has typed it."""
    text, _ = OTHERS[key]
    before = tab.field(key).value, tab.words(key)
    tab.session.settings.set(key, text)
    tab.view.show()
    assert tab.field(key).value == text
    assert not tab.undo(key).disabled
    tab.session.settings.unset(key)
    tab.view.show()
    assert (tab.field(key).value, tab.words(key)) == before
    assert tab.undo(key).disabled
    assert tab.changes == 0


@pytest.mark.parametrize("key", TEXTS)
def test_an_emptied_field_unsets(tab: Tab, key: str) -> None:
    """An emptied field takes back what the session had; it says what counts then."""
    before = tab.field(key).value
    tab.type(key, OTHERS[key][0])
    tab.type(key, "  ")
    assert tab.session.setting(key).source == DEFAULT
    assert (tab.field(key).value, tab.wrong(key)) == (before, "")
    if before:
        tab.type(key, "")
        assert tab.field(key).value == before


@pytest.mark.parametrize("key", TEXTS)
def test_none(tab: Tab, key: str) -> None:
    """``none`` is no limit where there can be none, and is refused elsewhere."""
    tab.type(key, " None ")
    if SETTINGS[key].takes_none:
        assert tab.session.setting(key) == Setting(key, None, IN_SESSION)
        assert tab.field(key).value == "none"
        tab.undo(key).click()
        assert tab.field(key).value == ("" if SETTINGS[key].default is None else text_of(SETTINGS[key].default))
    else:
        assert tab.session.setting(key).source == DEFAULT
        assert tab.wrong(key).startswith(f"✗ {key}: 'None' is no ")


def test_what_is_understood_is_shown(tab: Tab) -> None:
    """A number is shown as it was understood, to its last digit."""
    for key, typed, shown in [
        ("idle", " 3e1", "30"),
        ("max_cost", "$0.10", "0.1"),
        ("max_tokens", "0500", "500"),
        ("budget", "1234567.89", "1234567.89"),
        ("total", "1000000", "1000000"),
    ]:
        tab.type(key, typed)
        assert tab.field(key).value == shown
        assert SETTINGS[key].value_of(shown) == tab.session.setting(key).value


# --- where it came from -----------------------------------------------------------------------------------------------


def test_sources(tab: Tab, environment: dict[str, str]) -> None:
    """A row says which file and line, which variable, or which attribute of the session its value came from."""
    Path("pyproject.toml").write_text("[tool.nbretry]\n\nmax_cost = 0.25\ntotal = 'none'\nidle = 5\n")
    environment["NBRETRY_IDLE"] = "30"
    tab.session.policy = replace(tab.session.policy, on_break="continue")
    tab.session.deadlines = Deadlines(connect=None, first_content=60.0, idle=60.0)
    tab.view.show()
    for key, shown, told in [
        ("max_cost", "0.25", "default none · from pyproject.toml, line 3"),
        ("total", "none", "default none · from pyproject.toml, line 4"),
        ("idle", "30", "default 60 · from NBRETRY_IDLE"),
        ("on_break", "continue", "default restart · from session.policy"),
        ("connect", "none", "default 10 · from session.deadlines"),
    ]:
        assert tab.field(key).value == shown
        assert tab.words(key).endswith(told)
        assert tab.undo(key).disabled
    tab.type("max_cost", "1")
    assert tab.session.setting("max_cost").value == 1
    tab.type("max_cost", "")
    assert tab.field("max_cost").value == "0.25", "what the file says counts again"
    tab.type("on_break", "raise")
    assert tab.session.setting("on_break") == Setting("on_break", "raise", IN_SESSION)
    tab.undo("on_break").click()
    assert tab.field("on_break").value == "continue"
    Path("pyproject.toml").write_text("[tool.nbretry]\nmax_cost = 0.75\n")
    del environment["NBRETRY_IDLE"]
    tab.view.show()
    assert [tab.field(key).value for key in ("max_cost", "total", "idle")] == ["0.75", "", "60"]


def test_mistakes_of_files_and_the_environment(tab: Tab, environment: dict[str, str]) -> None:
    """They are told above the rows, escaped and masked, and the rows show and take what they can."""
    environment |= {"NBRETRY_RETRIES": f"<b>{KEY}</b>", "NBRETRY_TEMPERATURE": "1.5"}
    Path("pyproject.toml").write_text("[tool.nbretry]\nidle = 'soon'\nrounds = 4\n")
    assert tab.errors() == ""
    tab.view.show()
    above = tab.view.widget.children[0].value
    Page(above).assert_well_formed()
    Page(above).assert_harmless()
    assert "b" not in Page(above).tags
    assert "✗ pyproject.toml, line 2: idle: 'soon' is no time limit" in tab.errors()
    assert "✗ NBRETRY_RETRIES: '<b>[secret]</b>' is no number of retries" in tab.errors()
    assert "Nobody is asked until this is mended." in tab.errors()
    assert KEY not in tab.state()
    assert [tab.field(key).value for key in ("retries", "idle", "rounds", "temperature")] == ["0", "60", "4", "1.5"]
    tab.type("idle", "5")
    assert tab.session.settings.readable()["idle"] == Setting("idle", 5.0, IN_SESSION)
    assert tab.wrong("idle") == ""
    Path("pyproject.toml").write_text("[tool.nbretry]\n")
    del environment["NBRETRY_RETRIES"]
    tab.view.show()
    assert tab.errors() == ""


# --- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", WRONG)
def test_a_wrong_value(tab: Tab, key: str) -> None:
    """A wrong value sets nothing, stays as typed through any number of looks, and its row says what would be right."""
    tab.session.settings.set(key, OTHERS[key][0])
    tab.view.show()
    before = tab.session.settings.readable()
    tab.type(key, "often")
    assert tab.changes == 1
    assert tab.wrong(key) == f"✗ {key}: {WRONG[key]}"
    tab.view.show()
    assert tab.field(key).value == "often"
    assert tab.session.settings.readable() == before
    assert [one for one in tab.rows if tab.wrong(one)] == [key]
    tab.type(key, OTHERS[key][0])
    assert (tab.wrong(key), tab.field(key).value) == ("", OTHERS[key][0])


def test_a_wrong_value_disturbs_no_other_row(tab: Tab) -> None:
    """Other rows are set and shown beside a wrong one, which stays; two can be wrong at once."""
    tab.type("temperature", "hot")
    tab.type("idle", "soon")
    tab.type("retries", "2")
    tab.session.settings.set("rounds", "3")
    tab.view.show()
    assert tab.session.setting("retries").value == 2
    assert [tab.field(key).value for key in ("temperature", "idle", "retries", "rounds")] == ["hot", "soon", "2", "3"]
    tab.type("idle", "5")
    assert [one for one in tab.rows if tab.wrong(one)] == ["temperature"]


def test_a_changed_setting_takes_the_place_of_what_was_wrong(tab: Tab) -> None:
    """What was wrong goes where the setting changes elsewhere, and where it is undone or emptied."""
    tab.type("temperature", "hot")
    tab.session.settings.set("temperature", "0.5")
    tab.view.show()
    assert (tab.field("temperature").value, tab.wrong("temperature")) == ("0.5", "")
    tab.type("temperature", "hot")
    tab.undo("temperature").click()
    assert (tab.field("temperature").value, tab.wrong("temperature")) == ("", "")
    tab.type("idle", "soon")
    tab.type("idle", "")
    assert (tab.field("idle").value, tab.wrong("idle")) == ("60", "")


def test_text_of_strangers(tab: Tab) -> None:
    """What was typed is text and not HTML, and a long one is quoted by its beginning."""
    tab.type("idle", "<img src=x onerror=alert(1)>")
    line = tab.rows["idle"].children[4].value
    Page(line).assert_well_formed()
    Page(line).assert_harmless()
    assert "img" not in Page(line).tags
    assert "'<img src=x onerror=alert(1)>'" in tab.wrong("idle")
    for typed in ("slow " * 1000, "9" * 5000):
        tab.type("total", typed)
        assert tab.field("total").value == typed
        assert 0 < len(tab.wrong("total")) < 200
    assert tab.session.setting("total").source == DEFAULT


@pytest.mark.parametrize("key", TEXTS)
@pytest.mark.parametrize("typed", [KEY, f"0.5 {KEY}", "my-remembered-password'7", f"Bearer {KEY}"])
def test_a_key_is_taken_away(tab: Tab, key: str, typed: str) -> None:
    """A key that was typed into a field is neither kept in a widget nor shown, and the row says why it is gone."""
    remember_secret("my-remembered-password'7")
    tab.type(key, OTHERS[key][0])
    before = tab.session.setting(key)
    tab.type(key, typed)
    for _ in range(2):
        assert typed not in tab.state()
        assert KEY not in tab.state()
        assert "remembered-password" not in tab.state()
        assert tab.field(key).value == ""
        assert tab.wrong(key) == (
            f"✗ {key}: what was typed looks like a key, and was taken away: a key is never put into a setting"
        )
        tab.view.show()
    assert tab.session.setting(key) == before
    tab.undo(key).click()
    assert tab.wrong(key) == ""


def test_a_value_that_is_known_to_be_secret(tab: Tab, environment: dict[str, str]) -> None:
    """A number that happens to be somebody's password stays masked where a variable has it as a setting."""
    remember_secret("48151623")
    environment["NBRETRY_MAX_TOKENS"] = "48151623"
    tab.view.show()
    assert tab.field("max_tokens").value == "[secret]"
    assert "48151623" not in tab.state()


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_only_what_changes_is_sent(tab: Tab) -> None:
    """A look changes only what is new; of a text field nothing but its text, as else a browser drops what is typed."""
    changed: list[tuple[Any, str]] = []

    def note(change: Any) -> None:
        if change["name"] in change["owner"].keys:  # those that a browser has
            changed.append((change["owner"], change["name"]))

    for widget in tab.widgets():
        widget.observe(note, traitlets.All)
        widget.layout.observe(note, traitlets.All)
    tab.view.show()
    assert changed == []
    tab.session.settings.set("idle", "30")
    tab.view.show()
    assert {owner for owner, _ in changed} == {
        tab.field("idle"),
        tab.undo("idle"),
        tab.rows["idle"].children[3],
        tab.rows["idle"],
    }
    assert [name for owner, name in changed if owner is tab.field("idle")] == ["value"]
    changed.clear()
    tab.type("total", "soon")
    tab.type("total", "5")
    assert {name for owner, name in changed if owner is tab.field("total")} == {"value"}
    assert not [owner for owner, _ in changed if owner in (tab.field("idle"), tab.rows["idle"])]


def test_the_style_reaches_no_further() -> None:
    """Every rule of the style sheet is for what is in the panel, and every class is one of ours or of ipywidgets."""
    rules = SETTINGS_STYLE.replace("@container nbretry-settings (max-width: 600px) {", "").split("}")
    selectors = [one.strip() for rule in rules for one in rule.partition("{")[0].split(",") if one.strip()]
    assert len(selectors) > 20
    assert [one for one in selectors if not one.startswith(".nbretry-panel .nbretry-setting")] == []


# --- threads ----------------------------------------------------------------------------------------------------------


def wait_until_typed(field: Any, text: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while field.value != text:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_just_being_typed_stays(tab: Tab) -> None:
    """A look between the arrival of what was typed and its handling does not overwrite it."""
    typing = threading.Thread(target=tab.type, args=("idle", "30"))
    with tab.lock:
        typing.start()
        wait_until_typed(tab.field("idle"), "30")
        tab.view.show()
        assert tab.field("idle").value == "30"
        assert tab.session.setting("idle").source == DEFAULT
    typing.join(PATIENCE)
    assert tab.session.setting("idle") == Setting("idle", 30.0, IN_SESSION)


def test_what_is_typed_after_a_change_elsewhere_counts(tab: Tab) -> None:
    """Where the setting changes elsewhere before what was typed is handled, what was typed counts, and is shown."""
    typing = threading.Thread(target=tab.type, args=("idle", "30"))
    with tab.lock:
        typing.start()
        wait_until_typed(tab.field("idle"), "30")
        tab.session.settings.set("idle", "45")
        tab.view.show()
    typing.join(PATIENCE)
    assert tab.session.setting("idle").value == float(tab.field("idle").value) == 30.0


def test_what_is_filled_in_counts_as_typed_by_nobody(tab: Tab) -> None:
    """What a look fills in sets nothing, even if it is noticed only later, together with a browser's message."""
    tab.type("idle", "30")
    with tab.field("idle").hold_trait_notifications():
        tab.session.settings.unset("idle")
        tab.view.show()
    assert tab.session.setting("idle").source == DEFAULT
    assert (tab.field("idle").value, tab.changes) == ("60", 1)


def test_many_threads(tab: Tab) -> None:
    """While many threads type, set and look at once nothing is raised, and in the end the fields say what counts."""
    failures: list[BaseException] = []
    texts = ["1", "2", "soon", "", "3", "none", KEY]

    def many(do: Any) -> None:
        try:
            for turn in range(150):
                do(turn)
        except BaseException as error:
            failures.append(error)

    def typing(place: int) -> Any:
        keys = [TEXTS[place], "idle"]
        return lambda turn: tab.type(keys[turn % 2], texts[(turn + place) % len(texts)])

    threads = [threading.Thread(target=many, args=(typing(place),)) for place in range(6)]
    threads += [threading.Thread(target=many, args=(lambda turn: tab.view.show(),)) for _ in range(2)]
    threads.append(
        threading.Thread(target=many, args=(lambda turn: tab.session.settings.set("rounds", str(turn % 9 + 1)),))
    )
    threads.append(threading.Thread(target=many, args=(lambda turn: tab.undo("max_cost").click(),)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert failures == []
    tab.view.show()
    assert KEY not in tab.state()
    for key in TEXTS:
        assert_consistent(tab, key)


def assert_consistent(tab: Tab, key: str) -> None:
    """A field says what counts, or is marked as wrong and would not be taken."""
    setting = tab.session.setting(key)
    shown = tab.field(key).value
    assert tab.undo(key).disabled == (setting.source != IN_SESSION)
    if tab.wrong(key):
        assert shown in ("", "soon", "none")
    elif shown:
        assert SETTINGS[key].value_of(shown) == setting.value
    else:
        assert (setting.value, setting.source) == (None, DEFAULT)


def steps() -> st.SearchStrategy[list[tuple[str, str, str]]]:
    keys = st.sampled_from(["idle", "temperature", "retries", "budget"])
    texts = st.sampled_from(["", " ", "1", "2", "1.0", "soon", "none", "0", "99", KEY])
    return st.lists(st.tuples(st.sampled_from(["type", "set", "unset", "undo", "look", "file"]), keys, texts))


@settings(max_examples=40)
@given(steps())
def test_any_course_of_things(taken: list[tuple[str, str, str]]) -> None:
    """After whatever is typed, set and undone in any order, each field says what counts, or is marked as wrong."""
    environment = {"NBRETRY_CONFIG": os.devnull}
    tab = Tab(Session(settings=Settings(environment)))
    for kind, key, text in taken:
        before = tab.session.settings.readable()
        if kind == "type":
            tab.type(key, text)
            if tab.wrong(key):
                assert tab.session.settings.readable() == before
        elif kind == "set" and text in ("1", "2"):
            tab.session.settings.set(key, text)
        elif kind == "unset":
            tab.session.settings.unset(key)
        elif kind == "undo":
            tab.undo(key).click()
            assert tab.wrong(key) == ""
        elif kind == "file" and text in ("1", "2"):
            environment[SETTINGS[key].variable] = text
        tab.view.show()
        for one in TEXTS:
            setting = tab.session.setting(one)
            assert tab.undo(one).disabled == (setting.source != IN_SESSION)
            shown = tab.field(one).value
            if not tab.wrong(one):
                expected = ("" if setting.is_default else "none") if setting.value is None else text_of(setting.value)
                assert shown == expected
    for widget in tab.widgets():
        widget.close()
