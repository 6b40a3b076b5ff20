"""The settings: their layers, where each came from, and what is said about a mistake."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from settings_files import project_file, user_file

from nbretry.config.schema import SETTINGS, Setting, text_of
from nbretry.config.settings import Settings
from nbretry.errors import ConfigError

pytestmark = pytest.mark.usefixtures("home")


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


# --- showing ----------------------------------------------------------------------------------------------------------


def test_what_is_shown_can_be_written() -> None:
    """A value's text is what makes that value again."""
    for key, (_, _, value) in VALUES.items():
        if value is not None:
            assert SETTINGS[key].value_of(text_of(value)) == value
