"""The settings: their layers, where each came from, and what is said about a mistake."""

from __future__ import annotations

import asyncio
import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbretry.config.schema import SETTINGS, Setting, text_of
from nbretry.config.settings import Settings
from nbretry.config.toml_lines import key_lines
from nbretry.errors import AuthenticationError, ConfigError
from nbretry.providers import AnthropicProvider, OpenAIProvider, ScriptedProvider
from nbretry.renderers.settings import setting_line, settings_html, settings_text
from nbretry.retry.deadlines import Deadlines
from nbretry.retry.policy import RetryPolicy
from nbretry.session.question import Question
from nbretry.session.session import Session


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory with a project below, which is the working directory."""
    for variable in [name for name in os.environ if name.startswith("NBRETRY_") or name.endswith("_API_KEY")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def user_file(home: Path, text: str) -> None:
    path = home / "config.toml"
    path.write_text(text, encoding="utf-8")
    os.environ["NBRETRY_CONFIG"] = str(path)


def project_file(text: str, directory: Path | None = None) -> Path:
    path = (directory or Path.cwd()) / "pyproject.toml"
    path.write_text(text, encoding="utf-8")
    return path


def mistake(settings: Settings) -> str:
    """The one line in which a setting is refused."""
    with pytest.raises(ConfigError) as caught:
        settings.get("model")
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- layers -----------------------------------------------------------------------------------------------------------


def test_each_layer_comes_before_the_one_below(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``%nbretry config`` > environment > user's file > project's file > default, and each value says which it was."""
    settings = Settings()
    seen = [settings.get("model")]
    project_file('[project]\nname = "x"\n\n[tool.nbretry]\nmodel = "of the project"\n')
    seen.append(settings.get("model"))
    monkeypatch.setenv("NBRETRY_CONFIG", "")
    user_file(home, '# mine\n\nmodel = "of the user"\n')
    seen.append(settings.get("model"))
    monkeypatch.setenv("NBRETRY_MODEL", "of the environment")
    seen.append(settings.get("model"))
    settings.set("model", "of the session")
    seen.append(settings.get("model"))
    assert seen == [
        Setting("model", "", "default"),
        Setting("model", "of the project", "pyproject.toml, line 5"),
        Setting("model", "of the user", "../config.toml, line 3"),
        Setting("model", "of the environment", "NBRETRY_MODEL"),
        Setting("model", "of the session", "%nbretry config"),
    ]
    assert seen[0].is_default
    settings.unset("model")
    assert settings.get("model").source == "NBRETRY_MODEL"


def test_the_users_file_is_found_without_a_variable(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ``NBRETRY_CONFIG`` the file is in the directory of user configuration, told with a short ~."""
    settings = Settings()
    path = settings.user_file()
    assert path.name == "config.toml"
    assert home in path.parents
    path.parent.mkdir(parents=True)
    path.write_text("idle = 7")
    (home / "project" / "a").mkdir()
    monkeypatch.chdir(home / "project" / "a")
    setting = settings.get("idle")
    assert setting.value == 7.0
    assert setting.source == f"~/{path.relative_to(home).as_posix()}, line 1"


def test_the_nearest_project_with_the_table_counts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Upwards the first ``pyproject.toml`` that has the table counts; one without it does not end the search."""
    project_file('[tool.nbretry]\nmodel = "outer"\n')
    inner = Path.cwd() / "package" / "notebooks"
    inner.mkdir(parents=True)
    project_file('[project]\nname = "nbretry tool without a table"\n', inner.parent)
    monkeypatch.chdir(inner)
    assert Settings().get("model") == Setting("model", "outer", "../../pyproject.toml, line 2")


def test_nothing_above_the_home_directory_is_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search ends with the home directory, which is looked into."""
    project_file('[tool.nbretry]\nmodel = "home"\n', home)
    assert Settings().get("model").value == "home"
    monkeypatch.setenv("HOME", str(home / "project"))
    monkeypatch.setenv("USERPROFILE", str(home / "project"))
    assert Settings().get("model").is_default


def test_a_changed_file_is_read_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has changed, gone or come counts from the next look on, and so does another working directory."""
    settings = Settings()
    path = project_file('[tool.nbretry]\nmodel = "a"\n')
    assert settings.get("model").value == "a"
    path.write_text('[tool.nbretry]\nmodel = "other"\n')
    assert settings.get("model").value == "other"
    path.write_text('[tool.nbretry]\nmodel = "equal"\n')
    os.utime(path, ns=(1, 1))
    assert settings.get("model").value == "equal"
    monkeypatch.chdir(home)
    assert settings.get("model").is_default
    monkeypatch.chdir(home / "project")
    path.unlink()
    assert settings.get("model").is_default


def test_a_working_directory_that_is_gone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the working directory was deleted, the other layers still count."""
    gone = home / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setenv("NBRETRY_MODEL", "m")
    assert Settings().get("model").value == "m"


def test_empty_variables_are_not_set() -> None:
    """A variable that is empty, or is blank, sets nothing; one that is another program's is passed over."""
    settings = Settings({"NBRETRY_MODEL": " ", "NBRETRY_CACHE_DIR": "/x", "NBRETRY_IDLE": "", "MODEL": "x"})
    assert settings.errors() == []
    assert all(setting.is_default for setting in settings.current().values())


VALUES: dict[str, tuple[str, str, Any]] = {
    "providers": ("a, b:c:d", '["a", "b:c:d"]', ["a", "b:c:d"]),
    "model": ("big", '"big"', "big"),
    "system": ("Be brief. 日本 🙂", '"Be brief. 日本 🙂"', "Be brief. 日本 🙂"),
    "temperature": ("0.5", "0.5", 0.5),
    "max_tokens": ("100", "100", 100),
    "on_break": ("raise", '"raise"', "raise"),
    "hedge_after": ("p90", '"p90"', "p90"),
    "connect": ("3", "3", 3.0),
    "first_content": ("none", '"none"', None),
    "idle": ("2.5", "2.5", 2.5),
    "total": ("1e2", "1e2", 100.0),
    "retries": ("3", "3", 3),
    "rounds": ("4", "4", 4),
    "max_cost": ("$0.5", "0.5", 0.5),
    "budget": ("2", "2", 2.0),
    "format": ("text", '"text"', "text"),
    "context": ("-", "0", 0),
    "paint": ("once", '"once"', "once"),
}


@pytest.mark.parametrize("key", SETTINGS)
def test_every_setting_in_every_layer(key: str) -> None:
    """Each setting is read from a file, from its variable and from ``%nbretry config``, with its right value."""
    text, toml, value = VALUES[key]
    project_file(f"[tool.nbretry]\n{key} = {toml}\n")
    settings = Settings({})
    assert settings.get(key) == Setting(key, value, "pyproject.toml, line 2")
    assert Settings({SETTINGS[key].variable: text}).get(key) == Setting(key, value, f"NBRETRY_{key.upper()}")
    assert settings.set(key, text) == settings.get(key) == Setting(key, value, "%nbretry config")


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("temprature = 1", "there is no setting 'temprature'; did you mean 'temperature'?"),
        ("xyz = 1", "there is no setting 'xyz'; known are providers, model, "),
        ("temperature = 'hot'", "temperature: 'hot' is no temperature: write a number from 0 to 2"),
        ("temperature = true", "temperature is true, and should be: number"),
        ("temperature = 2001-01-01", "temperature is datetime.date(2001, 1, 1), and should be: number"),
        ("max_tokens = 1.5", "max_tokens: '1.5' is no number of tokens: write a whole number from 1"),
        ("idle = 0", "idle: '0' is no time limit: write a number of seconds above 0, or none for no limit"),
        ("idle = nan", "idle: 'nan' is no time limit: write a number of seconds above 0, or none for no limit"),
        ("model = 4", "model is 4, and should be: name"),
        ("model = ['a']", "model is this list, and should be: name"),
        ("system.text = 'x'", "system is a table, and should be: text"),
        ("providers = []", "providers: '' is no list of providers: write their names with commas between"),
        (
            "providers = ['a', 'b:']",
            "providers: 'b:' names no model: write one behind the colon, or leave the colon out",
        ),
        ("providers = [1]", "providers is this list, and should be: list of names"),
        ("rounds = 0", "rounds: '0' is no number of rounds: write a whole number from 1 to 20"),
        ("on_break = 'stop'", "on_break: 'stop' is none of raise, restart, continue"),
        ("api_key = 'abc'", "a key may not stand in a file of settings: put it into .env, and name its variable "),
        ("model 3", "this is no TOML: "),
        ("model = 'a'\nmodel = 'b'", "this is no TOML: "),
        ("provider = 'lab'", "provider is no table: write [tool.nbretry.provider.NAME]"),
        ("provider.lab = 'x'", "provider.lab is no table: write [tool.nbretry.provider.NAME]"),
        ("provider.lab.kind = 'grpc'", "provider.lab: kind is 'grpc', and should be openai or anthropic"),
        ("provider.lab.model = 'm'", "provider.lab: there is no service of this name: give its base_url"),
        ("provider.lab.api_key = 'abc'", "provider.lab: a key may not stand in a file of settings: "),
        ("provider.lab.base_ulr = 'x'", "provider.lab: there is no 'base_ulr'; did you mean 'base_url'?"),
        ("provider.lab.base_url = 'x'", "provider.lab: base_url is 'x', and should be as http://gpu-server:8000/v1"),
        ("provider.lab.base_url = 'http://['", "provider.lab: base_url is 'http://[', and should be as http://"),
        ("provider.lab.base_url = 'http://a b/v1'", "provider.lab: base_url is 'http://a b/v1', and should be as http"),
        ("provider.'a\\u001b[31m'.kind = 'openai'".replace("'", '"'), "provider.a\\x1b[31m: "),
        ("provider.lab.base_url = ''", "provider.lab: base_url is '', and should be text"),
        ("provider.'a b'.kind = 'openai'", "provider.a b: 'a b' cannot name a provider: use letters, digits, "),
        ("provider.local.kind = 'openai'", "provider.local: this is the model on this machine: choose another name"),
        ("provider.groq.idle = 'none'", "provider.groq: idle: 'none' is no time limit: write a number of seconds "),
        (
            "provider.lab.base_url = 'http://x'\nprovider.lab.key_variable = 'sk-1 2'",
            "provider.lab: key_variable should be the name of an environment variable",
        ),
        (
            "provider.openai.base_url = 'http://x'",
            "provider.openai: a project may not give a known service another address: choose another name",
        ),
        (
            "provider.lab.base_url = 'http://x'\nprovider.lab.key_variable = 'OPENAI_API_KEY'",
            "provider.lab: a project may not send the key of openai elsewhere: name another variable",
        ),
        (
            "provider.lab.base_url = 'http://x'\nprovider.lab.key_variable = 'openai_api_key'",
            "provider.lab: a project may not send the key of openai elsewhere: name another variable",
        ),
        (
            "provider.groq.key_variable = 'OPENAI_API_KEY'",
            "provider.groq: a project may not send the key of openai elsewhere: name another variable",
        ),
        (
            "provider.lab.kind = 'openai'\nprovider.lab.key_variable = 'ANTHROPIC_API_KEY'",
            "provider.lab: a project may not send the key of anthropic elsewhere: name another variable",
        ),
        (
            "provider.lab.base_url = 'http://x'\nprovider.lab.key_variable = 'GITHUB_TOKEN'",
            "provider.lab: a project may have only a key sent that is meant for nbretry: call its variable ",
        ),
        (
            "provider.OpenAI.base_url = 'http://x'",
            "provider.OpenAI: the service is called openai: write provider.openai",
        ),
    ],
)
def test_mistakes_in_a_file(line: str, told: str) -> None:
    """A mistake in a file is told in one line: file, line, what is wrong and what would be right."""
    project_file(f'[project]\nname = "x"\n[tool.nbretry]\n\n{line}\n')
    last = 5 + line.count("\n")
    said = mistake(Settings({}))
    assert said.startswith((f"pyproject.toml, line 5: {told}", f"pyproject.toml, line {last}: {told}")), said
    assert "abc" not in said
    assert "sk-1" not in said


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"NBRETRY_IDLE": "soon"}, "NBRETRY_IDLE: 'soon' is no time limit: write a number of seconds above 0"),
        ({"NBRETRY_PROVIDER": "a"}, "there is no setting of the name NBRETRY_PROVIDER; did you mean "),
        ({"NBRETRY_MAX_TOKENS": "9" * 5000}, "NBRETRY_MAX_TOKENS: max_tokens should be: tokens"),
        ({"NBRETRY_CONFIG": "~/nowhere.toml"}, "NBRETRY_CONFIG names ../nowhere.toml, and there is no such file"),
    ],
)
def test_mistakes_in_the_environment(environment: dict[str, str], told: str) -> None:
    """A mistake in the environment is told with the variable."""
    assert mistake(Settings(environment)).startswith(told)


def test_files_that_cannot_be_read(home: Path) -> None:
    """A user's file that is a directory or no text is told; a project's file that is not for us is passed over."""
    (home / "directory").mkdir()
    (home / "latin").write_bytes("system = 'für'".encode("latin-1"))
    assert mistake(Settings({"NBRETRY_CONFIG": str(home / "directory")})).startswith("../directory cannot be read: ")
    assert mistake(Settings({"NBRETRY_CONFIG": str(home / "latin")})) == "../latin cannot be read: it is not UTF-8"
    Path("pyproject.toml").write_bytes("[tool.nbretry]\nsystem = 'für'".encode("latin-1"))
    assert Settings({}).get("system").is_default
    project_file("[project\nname = 'of another tool'")
    assert Settings({}).get("system").is_default
    project_file("x = " + "[" * 9999 + "]" * 9999 + "\n[tool.nbretry]")
    assert mistake(Settings({})).startswith("pyproject.toml is nested too deep")


def test_a_number_that_is_too_long() -> None:
    """A number of thousands of digits, which the reader of TOML refuses in its own way, is told in one line."""
    project_file(f"[tool.nbretry]\nidle = {'9' * 5000}\n")
    assert mistake(Settings({})).startswith("pyproject.toml: this is no TOML: ")
    assert "idle" in Settings({}).readable()


def test_what_an_editor_leaves_around_a_file(home: Path) -> None:
    """A byte order mark and Windows' line ends change neither values nor line numbers."""
    Path("pyproject.toml").write_bytes(b"\xef\xbb\xbf[tool.nbretry]\r\n\r\nmodel = 'm'\r\n")
    assert Settings({}).get("model") == Setting("model", "m", "pyproject.toml, line 3")


def test_a_broken_file_is_refused_until_it_is_mended() -> None:
    """Every look at any setting fails with the line, what is right can still be read, and mending it is enough."""
    path = project_file("[tool.nbretry]\nidle = 5\ntotal = -1\n")
    settings = Settings({})
    for _ in range(2):
        assert mistake(settings).startswith("pyproject.toml, line 3: total: '-1' is no time limit")
    assert settings.readable()["idle"].value == 5.0
    assert len(settings.errors()) == 1
    path.write_text("[tool.nbretry]\nidle = 5\ntotal = 100\n")
    assert settings.get("total").value == 100.0


@pytest.mark.parametrize(
    ("key", "text", "told"),
    [
        ("idel", "1", "there is no setting 'idel'; did you mean 'idle'?"),
        ("idle", "0", "idle: '0' is no time limit: write a number of seconds above 0, or none for no limit"),
    ],
)
def test_mistakes_in_the_session(key: str, text: str, told: str) -> None:
    """A wrong key or value is refused, and what counted before counts on."""
    settings = Settings({})
    with pytest.raises(ConfigError) as caught:
        settings.set(key, text)
    assert str(caught.value) == told
    assert all(setting.is_default for setting in settings.current().values())


# --- lines of TOML ----------------------------------------------------------------------------------------------------


def test_lines_of_every_way_to_write_a_key() -> None:
    """Dotted and quoted keys, tables, arrays, inline tables and texts over several lines are counted right."""
    text = (
        "# comment = 1\n"
        "a = 1 # x = 2\n"
        'b . "c.d" = "x # [y]"\n'
        "'quoted key' = '''\n[not.a.table]\nz = 1\n'''\n"
        "[tool.nbretry]\n"
        'providers = [ "a", # ]\n  "b",\n]\n'
        'system = """x\ny = 3 \\""" z"""""\n'
        '[ tool . nbretry . "provider" . lab ] # lab\n'
        "kind = 'openai'\n"
        "t = { x = 1, y.z = [ {k=1}, {m=2} ] }\n"
        '"\\u0061b" = 1979-05-27 07:32:00Z\n'
        "[[many]]\n[[many]]\nlast = -inf"
    )
    tomllib.loads(text)
    lines = key_lines(text)
    assert {path: line for path, line in lines.items() if path[0] != "tool"} == {
        ("a",): 2,
        ("b",): 3,
        ("b", "c.d"): 3,
        ("quoted key",): 4,
        ("many",): 18,
        ("many", "last"): 20,
    }
    lab = ("tool", "nbretry", "provider", "lab")
    assert lines["tool", "nbretry"] == 8
    assert lines["tool", "nbretry", "providers"] == 9
    assert lines["tool", "nbretry", "system"] == 12
    assert lines[lab] == 14
    assert lines[*lab, "kind"] == 15
    assert lines[*lab, "t", "y", "z", "m"] == 16
    assert lines[*lab, "ab"] == 17


_NAMES = st.text(st.sampled_from("ab_-. \"'#=[]\\é🙂"), max_size=4)
_VALUES = st.one_of(st.integers(-9, 9), st.booleans(), st.text(st.sampled_from("a\"'#=[]{}\n\\é"), max_size=8))
_TABLES: Any = st.recursive(
    st.dictionaries(_NAMES, st.one_of(_VALUES, st.lists(_VALUES, max_size=3)), max_size=3),
    lambda inner: st.dictionaries(_NAMES, st.one_of(_VALUES, inner), max_size=3),
    max_leaves=12,
)


@given(_TABLES, st.randoms(use_true_random=False))
def test_lines_of_any_table(table: dict[str, Any], random: Any) -> None:
    """Of any table, however it is written, each key that `tomllib` finds is found in the line in which it stands."""
    lines: list[str] = []
    stands: dict[tuple[str, ...], int] = {}

    def quoted(name: str) -> str:
        if name and all(character in "ab_-" for character in name) and random.random() < 0.7:
            return name
        if "'" not in name and random.random() < 0.5:
            return f"'{name}'"
        return json.dumps(name, ensure_ascii=False)

    def value(written: Any) -> str:
        if isinstance(written, dict):
            return "{" + ", ".join(f"{quoted(name)} = {value(inner)}" for name, inner in written.items()) + "}"
        if isinstance(written, list):
            return "[\n" + "".join(f"  {value(one)}, # ]\n" for one in written) + "]"
        if (
            isinstance(written, str)
            and "'''" not in written
            and written[-1:] not in ("", "'")
            and random.random() < 0.3
        ):
            return f"'''{written}'''"
        return json.dumps(written, ensure_ascii=False)

    def line_now() -> int:
        return "\n".join([*lines, ""]).count("\n") + 1

    def remember(path: tuple[str, ...], written: Any, line: int) -> None:
        stands.setdefault(path, line)
        if isinstance(written, dict):
            for name, inner in written.items():
                # The values before it may have taken lines of their own.
                remember((*path, name), inner, -1)

    def write(path: tuple[str, ...], content: dict[str, Any]) -> None:
        plain = {name: one for name, one in content.items() if not isinstance(one, dict) or random.random() < 0.2}
        for name, one in plain.items():
            if random.random() < 0.3:
                lines.append("# comment = [")
            remember((*path, name), one, line_now())
            lines.append(f"{quoted(name)} = {value(one)}")
        for name, one in content.items():
            if name not in plain:
                stands.setdefault((*path, name), line_now())
                lines.append(f"[{'.'.join(map(quoted, (*path, name)))}]")
                write((*path, name), one)

    write((), table)
    text = "\n".join(lines)

    def paths(content: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
        if not isinstance(content, dict):
            return {path}
        return {path, *(inner for name, one in content.items() for inner in paths(one, (*path, name)))}

    found = key_lines(text)
    assert set(found) == paths(tomllib.loads(text)) - {()}
    assert {path: line for path, line in stands.items() if line > 0}.items() <= found.items()


@given(st.text(st.sampled_from("ab=.[]{}\"'#\n\\ ,1"), max_size=60))
def test_lines_of_any_text(text: str) -> None:
    """Any text, TOML or not, is read to its end or its first mistake; no line is beyond the text."""
    assert all(1 <= line <= text.count("\n") + 1 for line in key_lines(text).values())


# --- what they do -----------------------------------------------------------------------------------------------------


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


# --- providers that a file describes ----------------------------------------------------------------------------------


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


# --- showing ----------------------------------------------------------------------------------------------------------


def test_a_setting_in_a_line() -> None:
    """A line has key, value with its unit, source and meaning; ``none`` is a limit that is none."""
    settings = Settings({"NBRETRY_IDLE": "30", "NBRETRY_TOTAL": "none"})
    assert setting_line(settings.get("idle")) == "idle is 30 seconds (NBRETRY_IDLE): From one content to the next."
    assert setting_line(settings.get("total")).startswith("total is none (NBRETRY_TOTAL): ")
    assert setting_line(settings.get("system")) == "system is — (default): The system prompt."
    settings.set("hedge_after", "p90")
    assert setting_line(settings.get("hedge_after")).startswith("hedge_after is p90 (%nbretry config): ")


def test_the_table(home: Path) -> None:
    """The table has every setting, the described providers, the mistakes and the files; strangers' text is escaped."""
    project_file(
        "[tool.nbretry]\nsystem = '<b>{{x}}</b>'\nidle = 0\n[tool.nbretry.provider.lab]\nbase_url = 'http://l/v1'\n"
    )
    settings = Settings({})
    shown: Any = (
        list(settings.readable().values()),
        list(settings.readable_providers().values()),
        settings.errors(),
        settings.files(),
    )
    text, html = settings_text(*shown), settings_html(*shown)
    lines = text.splitlines()
    assert lines[0].startswith("✗ pyproject.toml, line 3: idle: '0' is no time limit")
    assert [line.split()[0] for line in lines[2 : 2 + len(SETTINGS)]] == list(SETTINGS)
    assert "http://l/v1" in text
    assert lines[-1] == "The project's: [tool.nbretry] in pyproject.toml"
    assert "<b>" not in html
    assert "&lt;b&gt;{{x}}" in html


def test_what_is_shown_can_be_written() -> None:
    """A value's text is what makes that value again."""
    for key, (_, _, value) in VALUES.items():
        if value is not None:
            assert SETTINGS[key].value_of(text_of(value)) == value
