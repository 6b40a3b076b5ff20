"""Which settings a question and a session go by."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from settings_files import project_file, user_file

from nbretry.config.schema import SETTINGS, Setting
from nbretry.config.settings import Settings
from nbretry.errors import AuthenticationError, ConfigError
from nbretry.providers import AnthropicProvider, OpenAIProvider, ScriptedProvider
from nbretry.retry.deadlines import Deadlines
from nbretry.retry.policy import RetryPolicy
from nbretry.session.question import Question
from nbretry.session.session import Session

pytestmark = pytest.mark.usefixtures("home")


def asked(session: Session, question: Question) -> Any:
    return asyncio.run(session.ask(question, lambda event, answer: None))


def test_defaults_are_those_of_a_session() -> None:
    """A session's attributes begin as the settings' defaults: else they would count as changed."""
    session = Session(settings=Settings({}))
    assert {key: session.setting(key).source for key in SETTINGS} == dict.fromkeys(SETTINGS, "default")
    assert session.filled(Question("Why?")) == Question(
        "Why?", on_break="restart", deadlines=session.deadlines, retries=0
    )


def test_a_question_takes_what_it_does_not_say() -> None:
    """Model, system prompt and options of the settings go to the provider where the question has none itself."""
    session = Session(settings=Settings({}))
    for key, text in {"model": "big", "system": "Be brief.", "temperature": "0.5", "max_tokens": "9"}.items():
        session.settings.set(key, text)
    provider = ScriptedProvider("'yes'")
    asked(session, Question("Why?", [provider]))
    asked(session, Question("Why?", [provider], "small", "", 0.0, 5))
    first, second = provider.calls
    assert first.messages[0] == {"role": "system", "content": "Be brief."}
    assert (first.model, first.options["temperature"], first.options["max_tokens"]) == ("big", 0.5, 9)
    assert [message["role"] for message in second.messages] == ["user"]
    assert (second.model, second.options["temperature"], second.options["max_tokens"]) == ("small", 0.0, 5)


def test_how_a_run_goes_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Policy, deadlines, hedging and the price limit of a run are those of the settings."""
    environment = {"RETRIES": "2", "ROUNDS": "1", "ON_BREAK": "raise", "IDLE": "none", "TOTAL": "9", "HEDGE_AFTER": "4"}
    for key, text in {**environment, "MAX_COST": "0.5", "BUDGET": "3"}.items():
        monkeypatch.setenv(f"NBRETRY_{key}", text)
    session = Session()
    retry_provider = session.retry_provider([ScriptedProvider()])
    assert retry_provider.policy == RetryPolicy(max_attempts=3, rounds=1, on_break="raise")
    assert retry_provider.deadlines == Deadlines(connect=10.0, first_content=60.0, idle=None, total=9.0)
    assert session.filled(Question("")).hedge_after == 4.0
    assert session.filled(Question("")).max_cost == 0.5
    assert session.budget.limit == 3.0
    question = Question("", deadlines=Deadlines(total=1.0), on_break="continue", retries=0)
    of_question = session.retry_provider([ScriptedProvider()], question)
    assert of_question.policy == RetryPolicy(max_attempts=1, rounds=1, on_break="continue")
    assert of_question.deadlines == Deadlines(connect=10.0, first_content=60.0, total=1.0)


def test_what_was_changed_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session's own attribute comes before environment and files, and after ``%nbretry config``."""
    monkeypatch.setenv("NBRETRY_IDLE", "5")
    monkeypatch.setenv("NBRETRY_ROUNDS", "3")
    monkeypatch.setenv("NBRETRY_BUDGET", "5")
    session = Session()
    session.deadlines = Deadlines(idle=7.0)
    session.policy = RetryPolicy(max_attempts=4)
    session.budget.limit = 2.0
    assert session.setting("idle") == Setting("idle", 7.0, "session.deadlines")
    assert session.setting("connect") == Setting("connect", None, "session.deadlines")
    assert session.setting("rounds") == Setting("rounds", 1, "session.policy")
    assert session.setting("retries") == Setting("retries", 3, "session.policy")
    for _ in range(2):
        assert session.limited_budget().limit == 2.0
    assert session.setting("budget").source == "session.budget.limit"
    session.settings.set("idle", "9")
    assert session.retry_provider([ScriptedProvider()]).deadlines == Deadlines(idle=9.0)


def test_the_budget_of_a_session_follows_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that came from the settings changes with them and ends with them; what was spent stays."""
    session = Session()
    session.budget.spend(0.5)
    session.settings.set("budget", "2")
    assert session.limited_budget().limit == 2.0
    monkeypatch.setenv("NBRETRY_BUDGET", "3")
    session.settings.unset("budget")
    assert (session.limited_budget().limit, session.budget.spent) == (3.0, 0.5)
    monkeypatch.delenv("NBRETRY_BUDGET")
    assert session.limited_budget().limit is None


def test_whom_to_ask_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting ``providers`` is the default; a name in it that is unknown is told with where it stands."""
    session = Session()
    session.register("mine", ScriptedProvider("'yes'"))
    session.register("other", ScriptedProvider("503"))
    project_file("[tool.nbretry]\nproviders = ['other', 'mine']\n")
    assert session.default_providers() == ["other", "mine"]
    assert asked(session, Question("Why?")).provider == "mine"
    project_file("[tool.nbretry]\nproviders = ['other', 'mein']\n")
    with pytest.raises(ConfigError) as caught:
        session.retry_provider()
    assert str(caught.value) == (
        "pyproject.toml, line 2: providers: there is no provider named 'mein'; did you mean 'mine'?"
    )


def test_a_broken_file_fails_a_question_and_no_more() -> None:
    """A question fails with the line; names, registering and unregistered errors go on without the file."""
    session = Session()
    session.register("mine", ScriptedProvider("'yes'"))
    path = project_file("[tool.nbretry]\nidle = 'long'\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"^pyproject.toml, line 2: idle: 'long' is no time limit"):
            asked(session, Question("Why?", ["mine"]))
    assert session.names()[0] == "mine"
    assert session.provider("mine")
    path.write_text("[tool.nbretry]\nidle = 50\n")
    assert asked(session, Question("Why?", ["mine"])).text == "yes"


def test_described_providers(home: Path) -> None:
    """A table makes a provider of its name: protocol, address, model, key and deadlines as it says."""
    project_file(
        "[tool.nbretry.provider.lab]\nbase_url = 'http://127.0.0.1:9/v1'\nmodel = 'qwen3'\nidle = 5\n"
        "[tool.nbretry.provider.claude]\nkind = 'anthropic'\nmodel = 'small'\nkey_variable = 'MY_KEY'\n"
        "[tool.nbretry.provider.groq]\nmodel = 'other'\n"
        "[tool.nbretry.provider.mini]\nkind = 'openai'\nbase_url = 'https://api.openai.com/v1'\n"
        "key_variable = 'OPENAI_API_KEY'\n"
        "[tool.nbretry.provider.gpu]\nbase_url = 'http://gpu/v1'\nkey_variable = 'NBRETRY_GPU_KEY'\n"
    )
    user_file(home, "[provider.proxy]\nbase_url = 'https://proxy.example/v1'\nkey_variable = 'OPENAI_API_KEY'\n")
    session = Session()
    lab, claude, groq = (session.provider(name) for name in ("lab", "claude", "groq"))
    assert isinstance(lab, OpenAIProvider)
    assert isinstance(claude, AnthropicProvider)
    assert (lab.name, lab.base_url, lab.default_model, lab.needs_auth) == (
        "lab",
        "http://127.0.0.1:9/v1",
        "qwen3",
        False,
    )
    assert lab.deadlines == Deadlines(idle=5.0)
    assert (claude.name, claude.default_model, claude.base_url) == ("claude", "small", "https://api.anthropic.com")
    assert (groq.name, groq.default_model, groq.base_url) == ("groq", "other", "https://api.groq.com/openai/v1")
    assert session.provider("proxy").base_url == "https://proxy.example/v1"
    for name, variable in (
        ("claude", "MY_KEY"),
        ("groq", "GROQ_API_KEY"),
        ("mini", "OPENAI_API_KEY"),
        ("gpu", "NBRETRY_GPU_KEY"),
    ):
        with pytest.raises(AuthenticationError, match=f"^{variable} is not set: "):
            list(session.provider(name).stream_chunks("", [{"role": "user", "content": "x"}]))
    assert session.names()[:5] == ["lab", "claude", "groq", "mini", "gpu"]


def test_described_providers_are_asked_by_default(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the registered ones come those of the files, but a known service without its key; then the others."""
    project_file(
        "[tool.nbretry.provider.lab]\nbase_url = 'http://127.0.0.1:9/v1'\n[tool.nbretry.provider.groq]\nmodel = 'm'\n"
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("XAI_API_KEY", "x")
    session = Session()
    session.register("mine", ScriptedProvider())
    assert session.default_providers() == ["mine", "lab", "xai"]
    monkeypatch.setenv("GROQ_API_KEY", "x")
    assert session.default_providers() == ["mine", "lab", "groq", "xai"]


def test_a_table_that_changes_makes_a_new_provider(home: Path) -> None:
    """While its table stays as it is a name gives the same provider, wherever it stands; then a new one."""
    table = "[tool.nbretry.provider.lab]\nbase_url = 'http://127.0.0.1:9/v1'\n"
    project_file(table)
    session = Session()
    first = session.provider("lab")
    project_file(f"\n\n{table}")
    assert session.provider("lab") is first
    project_file(f"{table}model = 'm'\n")
    assert session.provider("lab").default_model == "m"
    registered = ScriptedProvider()
    session.register("lab", registered)
    assert session.provider("lab") is registered
