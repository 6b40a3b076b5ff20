"""The panel's form for a provider: real widgets over a real session, driven by what a page sends."""

from __future__ import annotations

import json
import os
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
from hypothesis import given
from hypothesis import strategies as st
from page import Page

from nbretry._utils import redaction
from nbretry._utils.redaction import mask, remember_secret
from nbretry.config.settings import Settings
from nbretry.config.toml_lines import table_text
from nbretry.notebook.panel.adding import ADDING_STYLE, AddingForm
from nbretry.notebook.panel.state import PanelState
from nbretry.notebook.panel.typed_keys import remember_typed_key
from nbretry.providers import AnthropicProvider, OpenAIProvider, ScriptedProvider
from nbretry.providers.keys import enter_key, forget_key
from nbretry.providers.services import PRESETS
from nbretry.session.session import Session

KEY_TAKEN = "that looks like a key: write the name of the environment variable that holds it"
FIELDS = ("Name", "Base URL", "Model", "Key variable")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to work in, and no keys."""
    for variable in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Form:
    """The form as somebody sees and uses it; only ``first`` is offered."""

    def __init__(self) -> None:
        self.session = Session()
        self.session.register("first", ScriptedProvider())
        self.state = PanelState(self.session, ["first"])
        self.lock = threading.RLock()
        self.changes = 0
        self.form = AddingForm(self.state, self.lock, self._changed)

    def _changed(self) -> None:
        assert self.lock.acquire(blocking=False), "what is changed is changed by one at a time"
        self.lock.release()
        self.changes += 1
        self.form.show()

    def control(self, description: str) -> Any:
        return next(one for one in self.form.controls if one.description == description)

    @property
    def add_known_button(self) -> Any:
        return self.form.controls[1]

    @property
    def add_button(self) -> Any:
        return self.form.controls[-1]

    def type(self, **fields: str) -> None:
        """What a page sends when somebody leaves a field."""
        for field, text in fields.items():
            self.control(field.replace("_", " ")).set_state({"value": text})

    def choose(self, description: str, words: str) -> None:
        dropdown = self.control(description)
        dropdown.set_state({"index": list(dropdown._options_labels).index(words)})

    def offer(self, words: str) -> None:
        self.choose("Provider", words)
        self.add_known_button.click()

    def add(self, **fields: str) -> None:
        self.type(**fields)
        self.add_button.click()

    def typed(self) -> list[str]:
        return [self.control(field).value for field in FIELDS]

    def offered(self) -> list[str]:
        return [choice.name for choice in self.state.choices]

    def others(self) -> list[str]:
        return list(self.control("Provider")._options_labels)

    def html(self) -> str:
        """What is to be seen that is no control, and no help."""
        widgets = [one for one in self.widgets() if isinstance(one, ipywidgets.HTML)]
        said = [one for one in widgets if {"nbretry-adding-said", "nbretry-adding-keep"} & set(one._dom_classes)]
        html = "\n".join(one.value for one in said if "nbretry-hidden" not in one._dom_classes)
        page = Page(html)
        page.assert_well_formed()
        page.assert_harmless()
        return html

    def said(self) -> str:
        return " ".join(Page(self.html()).text.split())

    def widgets(self) -> list[Any]:
        return list(_tree(self.form.widget))

    def states(self) -> str:
        """All that a page, and a saved notebook, has of the form."""
        return json.dumps([[one.get_state(), one.layout.get_state()] for one in self.widgets()], default=str)

    def wrong(self) -> list[str]:
        """The fields that are marked as wrong."""
        rows = [one for one in self.widgets() if "nbretry-adding-wrong" in one._dom_classes]
        return [row.children[0].description for row in rows]


def _tree(widget: Any) -> Iterator[Any]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _tree(child)


@pytest.fixture
def form() -> Form:
    return Form()


LAB = {"Name": "lab", "Base_URL": "http://gpu-server:8000/v1", "Model": "qwen3", "Key_variable": "NBRETRY_LAB_KEY"}


# --- what is known already --------------------------------------------------------------------------------------------


def test_what_is_known_and_not_offered(form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other known provider can be chosen, with a word on what it needs, which changes when a key comes."""
    form.session.register("mine", ScriptedProvider())
    form.form.show()
    assert [label.partition(" — ")[0] for label in form.others()[1:]] == ["mine", *PRESETS]
    assert {"mine", "groq — no key: set GROQ_API_KEY", "ollama — server on this machine"} < set(form.others())
    assert "local — the model on this machine" in form.others()
    assert "first" not in " ".join(form.others())
    monkeypatch.setenv("GROQ_API_KEY", "gsk_0123456789abcdefghij")
    form.form.show()
    assert "groq — key is set" in form.others()
    assert "gsk_" not in form.states()


def test_a_name_that_looks_like_a_key(form: Form) -> None:
    """A provider under such a name is offered, and its name is masked."""
    name = "sk-" + "0123456789abcdefghij"
    form.session.register(name, ScriptedProvider())
    form.form.show()
    assert "[secret]" in form.others()
    assert name not in form.states()


def test_who_is_described_in_a_file(form: Form, project: Path) -> None:
    """A provider of a file of settings can be chosen, with where it is described and whether its key is there."""
    (project / "pyproject.toml").write_text(
        '[tool.nbretry.provider.lab]\nbase_url = "http://gpu-server:8000/v1"\nkey_variable = "NBRETRY_LAB_KEY"\n'
        '[tool.nbretry.provider.open]\nbase_url = "http://gpu-server:8001/v1"\n'
        '[tool.nbretry.provider.groq]\nmodel = "m"\n'
    )
    form.form.show()
    assert {
        "lab — no key: set NBRETRY_LAB_KEY (pyproject.toml, line 1)",
        "open — pyproject.toml, line 4",
        "groq — no key: set GROQ_API_KEY (pyproject.toml, line 6)",
    } < set(form.others())
    form.offer("open — pyproject.toml, line 4")
    assert form.offered() == ["first", "open"]
    assert form.said() == "✓ open is offered now · key: not needed"


def test_offering_a_known_one(form: Form) -> None:
    """Add offers who was chosen and says what its key needs; where nobody is chosen it says so and offers nobody."""
    form.add_known_button.click()
    assert (form.offered(), form.said()) == (["first"], "✗ no provider is selected: select one from the list")
    form.choose("Provider", "groq — no key: set GROQ_API_KEY")
    assert form.said() == ""
    form.add_known_button.click()
    assert form.offered() == ["first", "groq"]
    assert form.said() == (
        "✓ groq is offered now · key: not set — set GROQ_API_KEY in the environment or in .env, "
        "or run %nbretry key groq"
    )
    assert not any("groq" in label for label in form.others())
    form.add_known_button.click()
    assert (form.offered(), form.said()[:6]) == (["first", "groq"], "✓ groq"), "a second click changes nothing"


def test_a_key_that_comes_later_is_seen(form: Form) -> None:
    """Once a key was entered, the line says so, and has nothing of the key."""
    form.offer("groq — no key: set GROQ_API_KEY")
    enter_key("GROQ_API_KEY", "a-key-that-was-entered-1")
    try:
        form.form.show()
        assert form.said() == "✓ groq is offered now · key: set (entered)"
        assert "a-key-that" not in form.states()
    finally:
        forget_key("GROQ_API_KEY")


def test_choosing_survives_other_changes(form: Form) -> None:
    """Who is chosen stays chosen when the list changes, and is forgotten once it is offered elsewhere."""
    form.choose("Provider", "groq — no key: set GROQ_API_KEY")
    form.session.register("mine", ScriptedProvider())
    form.form.show()
    assert form.control("Provider").value == "groq"
    changes = form.changes
    form.state.add("groq")
    form.form.show()
    assert form.control("Provider").value == ""
    assert form.changes == changes, "what the form itself sets is nothing that the user did"


def test_a_known_one_that_cannot_be_offered(form: Form, project: Path) -> None:
    """A file with a mistake is one line beside the button, and who was chosen stays so."""
    form.choose("Provider", "groq — no key: set GROQ_API_KEY")
    (project / "pyproject.toml").write_text("[tool.nbretry]\nidle = 'Ob0e-d-Amore'\n")
    form.add_known_button.click()
    assert form.said().startswith("✗ pyproject.toml, line 2: idle: 'Ob0e-d-Amore' is no time limit")
    assert (form.offered(), form.control("Provider").value) == (["first"], "groq")
    remember_secret("Ob0e-d-Amore")
    form.form.show()
    assert form.said().startswith("✗ pyproject.toml, line 2: idle: '[secret]' is no time limit")
    (project / "pyproject.toml").unlink()
    form.add_known_button.click()
    assert form.offered() == ["first", "groq"]


# --- a new one --------------------------------------------------------------------------------------------------------


def test_adding_a_server(form: Form) -> None:
    """What was typed is a provider of the session and of the panel; one line says so, and the form is empty again."""
    form.add(**LAB)
    provider = form.session.provider("lab")
    assert isinstance(provider, OpenAIProvider)
    assert (provider.name, provider.base_url, provider.default_model) == ("lab", "http://gpu-server:8000/v1", "qwen3")
    assert form.offered() == ["first", "lab"]
    assert form.typed() == [""] * 4
    assert toml_of(form) == (
        '[tool.nbretry.provider.lab]\nbase_url = "http://gpu-server:8000/v1"\nmodel = "qwen3"\n'
        'key_variable = "NBRETRY_LAB_KEY"'
    )
    assert form.said().startswith(
        "✓ lab was added: %%ask -p lab asks it · key: not set — set NBRETRY_LAB_KEY in the environment or in .env, "
        "or run %nbretry key lab To have lab tomorrow, too, write into pyproject.toml:"
    )
    form.add_button.click()
    assert (form.offered(), form.said()[:5]) == (["first", "lab"], "✓ lab"), "a second click adds nothing"


def test_both_buttons_can_always_be_pressed(form: Form) -> None:
    """Whatever the kernel knows of what was typed, the buttons are enabled; one that is pressed too early says why."""
    buttons = (form.add_known_button, form.add_button)
    assert not any(button.disabled for button in buttons)
    form.add_button.click()
    assert form.said() == "✗ name is missing: write what the provider is called after -p, as lab"
    assert (form.offered(), form.wrong()) == (["first"], ["Name"])
    form.add(**LAB)
    assert form.said().startswith("✓ lab was added")
    assert not any(button.disabled for button in buttons)


def test_adding_a_server_of_anthropics_protocol(form: Form) -> None:
    """The protocol says which provider is made and what its address should be like; both begin afresh afterwards."""
    form.choose("Protocol", "Anthropic's protocol")
    assert "as http://gpu-server:8000, without /v1" in form.states()
    form.add(**LAB | {"Base_URL": "http://gpu-server:8000"})
    assert isinstance(form.session.provider("lab"), AnthropicProvider)
    assert 'kind = "anthropic"' in Page(form.html()).text
    assert form.control("Protocol").value == "openai"


def test_a_key_that_is_there_or_not_needed(form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says where the key is, or that none is needed; and where no model was named, to choose one."""
    monkeypatch.setenv("NBRETRY_LAB_KEY", "lab-key-of-the-environment-7")
    form.add(**LAB)
    assert "asks it · key: set (NBRETRY_LAB_KEY) To have" in form.said()
    assert "lab-key-of" not in form.states()
    form.add(Name="open", Base_URL="http://gpu-server:8000/v1")
    assert "asks it · model: none yet, choose one under Providers · key: not needed To have" in form.said()
    form.add(Name="here", Base_URL="http://127.0.0.1:8000/v1", Key_variable="HERE_KEY")
    assert "✓ here was added: %%ask -p here asks it · key: not needed To have" in form.said()


def test_one_that_was_added_here_can_be_replaced(form: Form) -> None:
    """The same name again takes the place of the one before, with its own model, and is offered once."""
    form.add(**LAB)
    form.state.choices[1].model = "of the first"
    form.add(**LAB | {"Base_URL": "http://other-server:8000/v1"})
    assert form.said().startswith("✓ lab was replaced: ")
    assert form.session.provider("lab").base_url == "http://other-server:8000/v1"
    assert [(choice.name, choice.model) for choice in form.state.choices] == [("first", ""), ("lab", "")]
    of_a_cell = ScriptedProvider()
    form.session.register("lab", of_a_cell)
    form.add(**LAB)
    assert "✗ lab is the name of a provider already: choose another name" in form.said()
    assert form.session.provider("lab") is of_a_cell, "a cell has registered it since, so it is not the form's any more"


@pytest.mark.parametrize(
    ("fields", "told", "wrong"),
    [
        ({"Name": ""}, "name is missing: write what the provider is called after -p, as lab", "Name"),
        ({"Name": " "}, "name is missing: write what the provider is called after -p, as lab", "Name"),
        ({"Name": "my lab"}, "'my lab' cannot name a provider: use letters, digits, '_', '-' and '.'", "Name"),
        ({"Name": "lab:qwen3"}, "'lab:qwen3' cannot name a provider: use letters, digits, '_', '-' and '.'", "Name"),
        ({"Name": "groq"}, "groq is a known service: add it above, or choose another name", "Name"),
        ({"Name": "GROQ"}, "groq is a known service: add it above, or choose another name", "Name"),
        ({"Name": "first"}, "first is the name of a provider already: choose another name", "Name"),
        ({"Name": "mine"}, "mine is the name of a provider already: add it above, or choose another name", "Name"),
        ({"Base_URL": ""}, "base_url is missing: write where the server is, as http://gpu-server:8000/v1", "Base URL"),
        ({"Base_URL": "gpu"}, "base_url is 'gpu', and should be as http://gpu-server:8000/v1", "Base URL"),
        ({"Base_URL": "gpu:8000"}, "base_url is 'gpu:8000', and should be as http://gpu-server:8000/v1", "Base URL"),
        ({"Base_URL": "ftp://gpu/v1"}, "base_url is 'ftp://gpu/v1', and should be as http://gpu", "Base URL"),
        ({"Base_URL": "http://gpu:x/v1"}, "base_url is 'http://gpu:x/v1', and should be as http://gpu", "Base URL"),
        ({"Base_URL": "http://[gpu/v1"}, "base_url is 'http://[gpu/v1', and should be as http://gpu", "Base URL"),
        ({"Model": "q\u200bwen"}, "model is 'q\\u200bwen', which has an invisible character in it", "Model"),
        ({"Model": "q\ud800wen"}, "model is 'q\\ud800wen', which has an invisible character in it", "Model"),
    ],
)
def test_mistakes(form: Form, fields: dict[str, str], told: str, wrong: str) -> None:
    """A wrong or missing field is one line that says what would be right; nothing typed is lost, nobody is added."""
    form.session.register("mine", ScriptedProvider())
    names = form.session.names()
    typed = LAB | fields
    form.add(**typed)
    assert form.said().startswith(f"✗ {told}")
    assert form.wrong() == [wrong]
    assert form.typed() == [typed[field.replace(" ", "_")] for field in FIELDS]
    assert (form.session.names(), form.offered()) == (names, ["first"])
    form.add(**LAB)
    assert form.said().startswith("✓ lab was added")
    assert form.wrong() == []


def test_a_service_that_is_offered(form: Form) -> None:
    """The name of a service that is offered already is refused, and nothing is said of adding it."""
    form.offer("groq — no key: set GROQ_API_KEY")
    form.add(**LAB | {"Name": "groq"})
    assert "✗ groq is a known service: choose another name" in form.said()


def test_a_mistake_goes_when_its_field_is_changed(form: Form) -> None:
    """What was told of a mistake stays until something else was typed into the field that has it."""
    form.add(Name="lab")
    form.type(Model="qwen3")
    assert (form.said()[:12], form.wrong()) == ("✗ base_url i", ["Base URL"])
    form.type(Base_URL="http://gpu-server:8000/v1")
    assert (form.said(), form.wrong()) == ("", [])


def test_what_the_last_one_left_stays(form: Form) -> None:
    """What to write into the file for the last one is still there while the next one has a mistake."""
    form.add(**LAB)
    form.add(Name="groq")
    assert form.said().startswith("✗ groq is a known service: add it above, or choose another name To have lab")


def test_a_broken_file_does_not_stop_it(form: Form, project: Path) -> None:
    """Where a file of settings has a mistake, a server is added all the same."""
    (project / "pyproject.toml").write_text("[tool.nbretry]\nidle = 0\n")
    form.add(**LAB)
    assert form.offered() == ["first", "lab"]


# --- what to write into a file ----------------------------------------------------------------------------------------


def toml_of(form: Form) -> str:
    """What stands between the tags, as a person copies it."""
    written = form.html().partition("<pre>")[2].partition("</pre>")[0]
    return Page(f"<pre>{written}</pre>").text


@pytest.mark.parametrize(
    "fields",
    [
        LAB,
        {"Name": "lab", "Base_URL": "http://gpu-server:8000/v1"},
        LAB | {"Name": "实验室.2", "Model": 'a "quoted" \\ model', "Protocol": "Anthropic's protocol"},
        LAB | {"Key_variable": "LAB_KEY"},
        LAB | {"Key_variable": "OPENAI_API_KEY"},
        LAB | {"Base_URL": "https://api.openai.com/v1", "Key_variable": "OPENAI_API_KEY"},
    ],
)
def test_the_file_gives_the_same_provider(
    form: Form, project: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str]
) -> None:
    """What the form says to write gives, in the file that it names, the provider that was added."""
    fields = dict(fields)
    if protocol := fields.pop("Protocol", ""):
        form.choose("Protocol", protocol)
    form.add(**fields)
    text = toml_of(form)
    tomllib.loads(text)
    if "write into pyproject.toml:" in form.said():
        (project / "pyproject.toml").write_text(text, encoding="utf-8")
    else:
        assert "write into your own config.toml (%nbretry config says where):" in form.said()
        assert "Not into pyproject.toml: a project may " in form.said()
        (project / "config.toml").write_text(text, encoding="utf-8")
        monkeypatch.setenv("NBRETRY_CONFIG", str(project / "config.toml"))
        (project / "pyproject.toml").write_text(text.replace("[", "[tool.nbretry.", 1), encoding="utf-8")
        assert Settings().errors(), "there it would be refused"
        (project / "pyproject.toml").unlink()
    tomorrow = Session()
    assert tomorrow.settings.errors() == []
    made, again = form.session.provider(fields["Name"]), tomorrow.provider(fields["Name"])
    assert type(made) is type(again)
    for name in ("name", "base_url", "default_model", "needs_auth", "credentials"):
        assert getattr(made, name) == getattr(again, name), name


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)


@given(st.lists(TEXTS, min_size=1, max_size=3), st.dictionaries(TEXTS, TEXTS, max_size=3))
def test_any_table_of_texts_is_written(path: list[str], values: dict[str, str]) -> None:
    """Whatever the names and texts are, what is written is read as the same."""
    content: Any = tomllib.loads(table_text(tuple(path), values))
    for name in path:
        content = content[name]
    assert content == values


# --- keys -------------------------------------------------------------------------------------------------------------

KEYS = {
    "of OpenAI": "sk-proj-0123456789abcdefABCDEF{}",
    "of Groq": "gsk_abcdefghijklmnop1234{}",
    "of Google": "AIzaSyA0123456789abcdefghijklmnopqrst{}",
    "without a beginning": "8f14e45fceea167a5a36dedd4bea2543{}",
    "letters and digits": "Q7mJ2kLp9XcV4bNh1TzR6wYd8sGf3eA{}",
    "in a line of .env": "LAB_API_KEY=abc{}defg",
    "in a header": "x-api-key: abc{}defg",
    "with blanks around": "  sk-0123456789abcdefghij{}  ",
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("kind", KEYS)
def test_a_key_in_a_field(form: Form, field: str, kind: str) -> None:
    """A key in any field is taken out at once and masked from then on; the rest of the form stays."""
    key = KEYS[kind].format(FIELDS.index(field))
    others = {name: text for name, text in LAB.items() if name != field.replace(" ", "_")}
    form.type(**others)
    changes = form.changes
    form.type(**{field.replace(" ", "_"): key})
    assert form.changes == changes + 1
    assert form.control(field).value == ""
    assert (form.said(), form.wrong()) == (f"✗ {KEY_TAKEN}", [field])
    assert sorted(form.typed()) == sorted(["", *others.values()])
    secret = key.strip().rpartition("=")[2].rpartition(" ")[2]
    assert secret not in form.states()
    assert mask(f"it was {secret}, was it not?") == "it was [secret], was it not?"
    form.add(**{field.replace(" ", "_"): LAB[field.replace(" ", "_")]})
    assert form.said().startswith("✓ lab was added")


@pytest.mark.parametrize(
    "text",
    [
        "my-own-key-42x7",
        "550e8400-e29b-41d4-a716-446655440000",
        "8fa14e45fceea",
        "aB3dE5gH9k",
        "NqLrTxWpYsKdJvMzBhCgFnQe",
        "$LAB_KEY",
        "LAB KEY",
        "http://other-server:8000/v1",
        "%env LAB_KEY",
        "päss wörd",
        "<b>LAB</b>",
        "LAB_KEY\u200b",
        "a" * 20_000 + "!",
    ],
)
def test_what_is_no_name_of_a_variable(form: Form, text: str) -> None:
    """Whatever cannot name an environment variable is taken out of its field, as it may be a key."""
    form.type(**LAB | {"Key_variable": text})
    assert form.control("Key variable").value == ""
    assert form.said() == f"✗ {KEY_TAKEN}"
    assert text not in form.states()


@pytest.mark.parametrize(
    "text", ["LAB_KEY", "LAB2_API_KEY", "NBRETRY_H100SERVER_KEY", "lab_key", "_KEY", "AZURE_KEY_2"]
)
def test_what_names_a_variable(form: Form, text: str) -> None:
    """What can be the name of an environment variable stays."""
    form.type(Key_variable=text)
    assert (form.control("Key variable").value, form.said()) == (text, "")


@pytest.mark.parametrize(
    ("address", "secret"),
    [
        ("https://user:Tr0mbone-Ax@gpu-server/v1", "Tr0mbone-Ax"),
        ("https://Vi0lin-Bex@gpu-server/v1", "Vi0lin-Bex"),
        ("user:Hu7dy-Gurdy@gpu-server:8000/v1", "Hu7dy-Gurdy"),
        ("https://user:Oct4ve/Flute@gpu-server/v1", "Oct4ve/Flute"),
        ("https://user:Clar1net%2DDoe@gpu-server/v1", "Clar1net-Doe"),
        ("https://user:@gpu-server/v1", ""),
        ("https://gpu-server/v1?api_key=abc1defgh", "abc1defgh"),
        ("https://gpu-server/v1?a=b&subscription-key=abc2defgh", "abc2defgh"),
        ("https://gpu-server/v1?api%2D%6Bey=abc3defgh", "abc3defgh"),
        ("https://gpu-server/v1#key=abc4defgh", "abc4defgh"),
        ("https://gpu-server/v1?q=8f14e45fceea167a5a36dedd4bea2549", "8f14e45fceea167a5a36dedd4bea2549"),
        ("https://gpu-server/sk-0123456789abcdefghijz/v1", "sk-0123456789abcdefghijz"),
        ("http://[user:Bass0on-Fig@gpu-server", "Bass0on-Fig"),
    ],
)
def test_an_address_with_a_key_or_a_password(form: Form, address: str, secret: str) -> None:
    """A base URL with a password or a key in it is taken out of its field, and what is secret of it is masked."""
    form.type(**LAB | {"Base_URL": address})
    assert form.control("Base URL").value == ""
    assert (form.said(), form.wrong()) == (f"✗ {KEY_TAKEN}", ["Base URL"])
    assert address not in form.states()
    if secret:
        assert secret not in form.states()
        assert secret not in mask(f"it was {secret}, was it not?")


def test_a_plain_word_as_a_password(form: Form) -> None:
    """Where a password is just a word, its address is taken out all the same, and the word can still be written."""
    form.type(Base_URL="http://admin:password@gpu-server:8000/v1")
    assert form.control("Base URL").value == ""
    assert mask("the password") == "the password"


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("Base URL", "https://gateway.invalid/client/v4/accounts/8f14e45fceea167a5a36dedd4bea2540/ai/v1"),
        ("Base URL", "https://gpu-server/v1?api-version=2026-10-21"),
        ("Base URL", "http://[::1]:8000/v1"),
        ("Base URL", "https://gpu-server:8000/users/me@example.org/v1"),
        ("Model", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
        ("Model", "accounts/fireworks/models/gpt-oss-120b"),
        ("Model", "ft:gpt-4o-mini-2024-07-18:my-org:suffix:9AbCdEf1"),
        ("Model", "hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M"),
        ("Model", "/models/Qwen2.5-7B-Instruct-Q4_K_M.gguf"),
        ("Model", "secret-model:latest"),
        ("Name", "h100-server.2"),
    ],
)
def test_what_is_no_key(form: Form, field: str, text: str) -> None:
    """Addresses and models as they are in use stay in their fields."""
    form.type(**{field.replace(" ", "_"): text})
    assert (form.control(field).value, form.said()) == (text, "")


def test_a_host_in_the_wrong_field_is_no_secret(form: Form) -> None:
    """What was typed into the field for the variable by mistake, and is just words, can still be typed elsewhere."""
    form.type(Key_variable="gpu-server-01")
    form.type(Key_variable="", Name="gpu-server-01", Base_URL="http://gpu-server-01:8000/v1")
    assert form.typed()[:2] == ["gpu-server-01", "http://gpu-server-01:8000/v1"]
    assert mask("gpu-server-01") == "gpu-server-01"


def test_a_key_that_becomes_known_later(form: Form) -> None:
    """What turns out to be a secret while it stands in the form is taken out when the form is shown next."""
    form.type(**LAB | {"Model": "open-sesame-17"})
    assert form.control("Model").value == "open-sesame-17"
    enter_key("NBRETRY_LAB_KEY", "open-sesame-17")
    try:
        form.form.show()
        assert form.control("Model").value == ""
        assert form.said() == f"✗ {KEY_TAKEN}"
        assert "open-sesame" not in form.states()
    finally:
        forget_key("NBRETRY_LAB_KEY")


def test_a_click_that_comes_with_a_key_adds_nothing(form: Form) -> None:
    """Whoever pastes a key and clicks Add has nobody added without it; a second click means it."""
    form.type(**LAB)
    form.add(Key_variable="sk-0123456789abcdefghijY")
    assert form.offered() == ["first"]
    assert form.said() == f"✗ {KEY_TAKEN}, or press Add again to go on without"
    form.add_button.click()
    assert form.offered() == ["first", "lab"]
    assert "key: not needed" in form.said()


def test_the_text_that_arrives_is_looked_at_before_all_else(form: Form) -> None:
    """A text field sends what is typed only when it is left, and whoever watches the form never sees a key in it."""
    seen: list[str] = []

    def changed() -> None:
        seen.append(form.states())

    form.form._changed = changed  # what the panel would do
    for field in FIELDS:
        assert form.control(field).continuous_update is False
        form.type(**{field.replace(" ", "_"): "sk-0123456789abcdefghijX"})
    assert len(seen) == 4
    assert not any("sk-0123" in states for states in seen)


@given(st.text(max_size=60), st.sampled_from(["variable", "address", "name"]))
def test_any_text_can_be_looked_at(text: str, meant: Any) -> None:
    """Whatever was typed, it is said whether it is a key; what cannot name a variable always may be one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redaction, "_known", set())  # what is taken for a key here is ordinary text in the other tests
        is_key = remember_typed_key(text, meant)
    assert is_key or meant != "variable" or not text.strip() or text.strip().isidentifier()


# --- strangers' texts, and the widgets --------------------------------------------------------------------------------

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)> \"'&amp;\n\x1b[31m"


@pytest.mark.parametrize("field", FIELDS)
def test_hostile_texts(form: Form, field: str) -> None:
    """A text with markup, quotes and control characters is only ever shown as text."""
    form.add(**LAB | {field.replace(" ", "_"): HOSTILE})
    html = form.html()
    assert form.said().startswith("✗ ")
    assert "<script" not in html
    assert "\x1b" not in html
    form.add(**LAB | {"Model": "<b>&amp;\"'</b>"})
    assert "<b>&amp;\"'</b>" in toml_of(form).replace("\\", "")
    form.html()


def test_a_long_text_is_cut(form: Form) -> None:
    """A mistake of thousands of letters is told in a line that ends."""
    form.add(**LAB | {"Base_URL": "gpu-" * 5_000})
    assert len(form.said()) < 310
    assert form.said().endswith("…")


def test_every_control_says_what_it_is(form: Form) -> None:
    """Each control has a description, which is its label, and a tooltip, and they come in the order in which they are
    seen."""
    assert [one.description for one in form.form.controls] == [
        *("Provider", "Add", "Name", "Protocol", "Base URL", "Model", "Key variable", "Add"),
    ]
    assert all(one.tooltip for one in form.form.controls)
    interactive = [one for one in form.widgets() if hasattr(one, "disabled") and hasattr(one, "description")]
    assert interactive == list(form.form.controls)
    assert len({one.tooltip for one in form.form.controls}) == len(form.form.controls)


def test_showing_it_again_sends_nothing(form: Form) -> None:
    """Where nothing has changed nothing is sent, and what the form itself sets counts as nothing that the user did."""
    form.add(**LAB)
    form.add(Name="groq")
    changes = form.changes
    sent: list[Any] = []
    for widget in [*form.widgets(), *(one.layout for one in form.widgets())]:
        widget.observe(sent.append)
    form.form.show()
    assert (sent, form.changes) == ([], changes)


def test_a_field_is_not_touched_while_it_is_typed_in(form: Form) -> None:
    """No change of the form changes another field, as a browser would then forget what is being typed there."""
    sent: list[Any] = []
    for field in FIELDS[1:]:
        form.control(field).observe(sent.append)
    form.choose("Protocol", "Anthropic's protocol")
    form.type(Name="lab")
    form.offer("groq — no key: set GROQ_API_KEY")
    assert sent == []


def test_the_style_reaches_no_further_than_the_panel() -> None:
    """Every rule is below the panel's class, and every class of its own begins as the project's do."""
    rules = [line for line in ADDING_STYLE.replace("}", "}\n").splitlines() if line.strip().startswith(".")]
    selectors = [one for rule in rules for one in rule.partition("{")[0].split(",") if one.strip()]
    assert len(selectors) > 20
    assert all(one.strip().startswith(".nbretry-panel ") for one in selectors)
    assert ADDING_STYLE.count("{") == ADDING_STYLE.count("}")
