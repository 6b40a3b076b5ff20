"""The form of an answer on the wire: sent to whom it means something, left out where it is refused."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from nbretry._extract import json_of
from nbretry.answer import Answer, fold
from nbretry.errors import BadRequestError, RetryProviderError
from nbretry.providers import AnthropicProvider, LocalProvider, RetryProvider
from nbretry.retry.contract import NamedProvider
from nbretry.retry.policy import RetryPolicy
from nbretry.session.question import Question
from nbretry.session.response_format import Schema, in_format, schema_of
from nbretry.session.session import Session
from nbretry.testing import FaultServer

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "maximum": 120}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
SCHEMA = schema_of("Person", {"Person": PERSON})
BY_SCHEMA = {"type": "json_schema", "json_schema": {"name": "Person", "schema": PERSON}}
OBJECT = {"type": "json_object"}


def question(schema: Schema | None = SCHEMA, **settings: Any) -> Question:
    return in_format(Question("Invent a person.", **settings), "json", schema)


def ask(session: Session, asked: Question) -> Answer:
    return asyncio.run(session.ask(asked, lambda event, answer: None))


def sent(server: FaultServer) -> list[Any]:
    """The form in each request, None where there was none."""
    assert all("preferred_response_format" not in request.body for request in server.requests)
    return [request.body.get("response_format") for request in server.requests]


@pytest.mark.parametrize(("schema", "form"), [(SCHEMA, BY_SCHEMA), (None, OBJECT)])
def test_it_is_sent(schema: Schema | None, form: Any) -> None:
    """A server that speaks OpenAI's protocol is sent the form, also where it stands under another name."""
    with FaultServer("ok") as server:
        session = Session()
        session.register("named", NamedProvider("other", server.provider()))
        ask(session, question(schema, providers=[server.provider(), "named"]))
        ask(session, question(schema, providers=["named"]))
        ask(session, Question("Why?", providers=["named"]))
        assert sent(server) == [form, form, None]
        assert "JSON" in server.requests[0].messages[0]["content"]


def test_it_is_not_sent_to_others() -> None:
    """Anthropic's protocol and a provider of the user's own get no such option, and the contract's stays untouched."""
    seen: list[dict[str, Any]] = []

    class Own:
        def create_completion(self, model: str, messages: Any, **options: Any) -> Any:
            seen.append(options)
            yield "{}"

    with FaultServer("ok") as server:
        anthropic = AnthropicProvider("none", "claude", base_url=server.origin)
        ask(Session(), question(providers=[anthropic], temperature=0.5))
        body = server.requests[0].body
        assert {name for name in body if "format" in name} == set()
        assert body["temperature"] == 0.5
    ask(Session(), question(providers=[Own()]))
    assert {name for name in seen[0] if "format" in name} == set()
    list(RetryProvider([Own()]).create_completion("", [{"role": "user", "content": "?"}], response_format=OBJECT))
    assert seen[1]["response_format"] == OBJECT


def refusal(status: int, message: str) -> str:
    return f"{status} message={message!r}"


REFUSALS = [
    refusal(400, "This response_format type is unavailable now"),
    refusal(422, "json_schema is not supported by this model"),
    refusal(400, "Invalid schema for this request"),
    refusal(400, "failed to parse grammar"),
]


@pytest.mark.parametrize("refused", REFUSALS)
def test_where_a_schema_is_refused_an_object_is_asked_for(refused: str) -> None:
    """A server that refuses the schema is asked for any JSON object in the same attempt; that is remembered."""
    with FaultServer(f"{refused}, ok") as server:
        session = Session()
        provider = server.provider()
        answer = ask(session, question(providers=[provider]))
        assert (answer.state, len(answer.attempts)) == ("completed", 1)
        assert sent(server) == [BY_SCHEMA, OBJECT]
        ask(session, question(providers=[provider]))
        assert sent(server)[2:] == [OBJECT]


@pytest.mark.parametrize("refused", REFUSALS)
def test_where_every_form_is_refused_none_is_sent(refused: str) -> None:
    """A server that refuses every form is asked without one in the same attempt; that is remembered."""
    with FaultServer(f"{refused}, {refused}, ok") as server:
        session = Session()
        provider = server.provider()
        answer = ask(session, question(providers=[provider]))
        assert (answer.state, len(answer.attempts)) == ("completed", 1)
        assert sent(server) == [BY_SCHEMA, OBJECT, None]
        ask(session, question(providers=[provider]))
        ask(session, question(None, providers=[provider]))
        assert sent(server)[3:] == [None, None]
        other = schema_of("Other", {"Other": {"type": "object"}})
        ask(session, question(other, providers=[provider]))
        assert sent(server)[5] is not None, "another schema may be taken"


def test_no_object_is_asked_for_in_place_of_a_list() -> None:
    """Where a schema wants a list, a server that refuses it is asked without a form, and not for an object."""
    schema = schema_of("numbers", {"numbers": list[int]})
    with FaultServer(f"{REFUSALS[0]}, ok") as server:
        ask(Session(), question(schema, providers=[server.provider()]))
        assert [form and form["type"] for form in sent(server)] == ["json_schema", None]


def test_another_refusal_stays_one() -> None:
    """A request that is refused for another reason is not sent again, and nothing is remembered."""
    with FaultServer("400 message='temperature is too high', ok") as server:
        provider = server.provider()
        with pytest.raises(RetryProviderError):
            ask(Session(), question(providers=[provider]))
        ask(Session(), question(providers=[provider]))
        assert sent(server) == [BY_SCHEMA, BY_SCHEMA]


def test_a_form_that_was_asked_for_by_hand_is_never_left_out() -> None:
    """Whoever gives ``response_format`` himself hears that it is refused."""
    with FaultServer(REFUSALS[0]) as server:
        provider = server.provider()
        with pytest.raises(BadRequestError, match="response_format"):
            list(provider.stream_chunks("", [{"role": "user", "content": "?"}], response_format=OBJECT))
        assert sent(server) == [OBJECT]


def test_what_goes_on_from_a_text_has_no_form() -> None:
    """Where the next provider goes on from half an answer, it is not held to a form that begins anew."""
    with FaultServer({"first": "'{' reset", "second": "'}'"}) as server:
        retry_provider = RetryProvider(
            [server.provider("first"), server.provider("second")],
            shuffle=False,
            policy=RetryPolicy(on_break="continue"),
        )

        async def main() -> Answer:
            options = question().options()
            messages = [{"role": "user", "content": "?"}]
            return fold([event async for event in retry_provider.stream_events("", messages, **options)])

        assert asyncio.run(main()).text == "{}"
        assert sent(server) == [BY_SCHEMA, None]


def test_two_at_once_learn_the_same() -> None:
    """Two questions that are refused at the same time forget no more than the form that they sent."""
    slowly = f"delay=2 {REFUSALS[0]}"
    with FaultServer(f"ok, {slowly}, {slowly}, ok") as server:
        session = Session()
        asked = question(providers=[server.provider()])
        ask(session, replace(asked, response_format=None))  # what is loaded at the first question is not waited for

        async def main() -> list[Answer]:
            return await asyncio.gather(*(session.ask(asked, lambda event, answer: None) for _ in range(2)))

        assert [answer.state for answer in asyncio.run(main())] == ["completed"] * 2
        assert sent(server) == [None, BY_SCHEMA, BY_SCHEMA, OBJECT, OBJECT]


@pytest.mark.local_model
def test_the_real_model_gives_valid_json_by_a_schema() -> None:
    """The model on this machine gives nothing but JSON that the schema allows, in a session, whatever it would say."""
    local = LocalProvider(n_ctx=1024, n_parallel=1)
    answer = ask(Session(), question(providers=[local], temperature=0.0, max_tokens=200))
    person = SCHEMA.check(json.loads(answer.text))
    assert set(person) == {"name", "age"}
    # By itself it writes other things than a number.
    schema = schema_of("n", {"n": {"type": "object", "properties": {"n": {"enum": [3, 5, 7]}}, "required": ["n"]}})
    answer = ask(Session(), question(schema, providers=[local], temperature=2.0, max_tokens=50))
    assert json_of(answer.text)["n"] in (3, 5, 7)


@pytest.mark.local_model
def test_the_real_model_answers_where_a_schema_cannot_be_kept() -> None:
    """A schema that the server cannot make a grammar of is left out, and the question is answered all the same."""
    schema = schema_of("odd", {"odd": {"type": "object", "properties": {"a": {"$ref": "#/$defs/nowhere"}}}})
    answer = ask(Session(), question(schema, providers=[LocalProvider(n_ctx=1024, n_parallel=1)], max_tokens=20))
    assert (answer.state, len(answer.attempts)) == ("completed", 1)
