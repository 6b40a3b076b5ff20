"""The provider for OpenAI's chat completions API: OpenAI, Azure, and most other services and local servers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import urlsplit

from nbretry.errors import BadRequestError, ProviderError, StreamInterruptedError
from nbretry.providers.http.reader import AnswerReader
from nbretry.providers.http.request import Ask, Endpoint
from nbretry.providers.http.sdk import SDKProvider
from nbretry.providers.http.sdk_errors import error_in_stream
from nbretry.retry.deadlines import Deadlines
from nbretry.types import FinishReason, Reasoning, Usage

__all__ = ["OpenAIProvider"]

_FORM_REFUSED = re.compile(
    r"response.?format|json.?(?:schema|object|mode)|\bschema|grammar|structured output", re.IGNORECASE
)


class OpenAIProvider(SDKProvider):
    """A provider that asks an endpoint through the official ``openai`` SDK, with the SDK's own retries off.

    It opens no connection and looks for no key until the first question.

    Args:
        base_url: the endpoint, such as ``http://127.0.0.1:8000/v1``, or a function that returns it for each question;
            by default the one in ``OPENAI_BASE_URL``, or else OpenAI's own.
        api_key: the key; by default the one in ``key_variable``. A server on this machine needs no key.
        model: the model to use if the question names none; by default a general-purpose model of OpenAI's, or the first
            model that a server on this machine lists.
        name: the provider's name; by default ``openai``, or the endpoint's host.
        timeout: seconds without new data after which a request fails; keep-alive comments do not count as new data.
        connect_timeout: time limit for connecting, in seconds.
        key_variable: environment variable with the key. By default it is the service's own for the service's own
            endpoint, and none for any other endpoint, so that the key is not sent elsewhere.
        deadlines: time limits for an attempt, in place of those of the `RetryProvider` or the session.
        api_version: API version for Azure deployments with the older URL path; ``base_url`` is then the resource's URL.
        **client_options: further arguments for ``openai.OpenAI`` and ``openai.AsyncOpenAI``, such as
            ``default_headers``.

    Example:
        >>> from nbretry.testing import FaultServer  # any endpoint that speaks OpenAI's protocol
        >>> with FaultServer("'Hello' ' world'") as server:
        ...     provider = OpenAIProvider(server.url, api_key="none", model="qwen3", name="lab")
        ...     "".join(provider.create_completion("", [{"role": "user", "content": "Anybody there?"}]))
        'Hello world'
    """

    package = "openai"
    modules: ClassVar[tuple[str, ...]] = ("openai.resources.chat.chat",)
    default_base_url = "https://api.openai.com/v1"
    base_url_variable = "OPENAI_BASE_URL"
    supports_response_format = True
    """The provider takes the option ``preferred_response_format``.

    This is a ``response_format`` that it simplifies or leaves out if the endpoint refuses it.
    """

    def __init__(
        self,
        base_url: str | Callable[[], str] | None = None,
        api_key: str | None = None,
        model: str | None = None,
        name: str | None = None,
        *,
        timeout: float = 60.0,
        connect_timeout: float = 10.0,
        key_variable: str | None = None,
        deadlines: Deadlines | None = None,
        api_version: str | None = None,
        **client_options: Any,
    ) -> None:
        super().__init__(
            base_url=base_url,
            api_key=api_key,
            model=model,
            name=name or _name_of(base_url),
            timeout=timeout,
            connect_timeout=connect_timeout,
            key_variable=key_variable,
            deadlines=deadlines,
            client_options=client_options,
        )
        self._api_version = api_version
        self._refuses_stream_options = False
        self._wants_max_completion_tokens: set[str] = set()
        self._refused_forms: set[tuple[str, str]] = set()

    def _client_class(self, sdk: Any, asynchronous: bool) -> Any:
        if self._api_version:
            return sdk.AsyncAzureOpenAI if asynchronous else sdk.AzureOpenAI
        return sdk.AsyncOpenAI if asynchronous else sdk.OpenAI

    def _address(self, endpoint: Endpoint) -> dict[str, Any]:
        if not self._api_version:
            return {"base_url": endpoint.url}
        resource = "base_url" if "/openai" in endpoint.url else "azure_endpoint"
        return {resource: endpoint.url, "api_version": self._api_version}

    def _request(self, client: Any, ask: Ask) -> Any:
        parameters = dict(ask.parameters)
        if ask.stream and not self._refuses_stream_options:
            parameters.setdefault("stream_options", {"include_usage": True})
        if ask.model in self._wants_max_completion_tokens and "max_tokens" in parameters:
            parameters.setdefault("max_completion_tokens", parameters.pop("max_tokens"))
        form = self._response_format(ask.model, parameters.pop("preferred_response_format", None))
        if form is not None:
            parameters.setdefault("response_format", form)
        ask.sent = parameters
        # In extra_body, unchanged: the SDK then also accepts parameters that only this endpoint knows.
        return client.chat.completions.with_streaming_response.create(
            model=ask.model,
            messages=ask.messages,
            stream=ask.stream,
            extra_body=parameters,
            timeout=self._timeout(ask),
            **ask.extra,
        )

    def _reader(self, ask: Ask) -> AnswerReader:
        return _ChatReader(ask.timeout)

    def _adapt(self, ask: Ask, error: ProviderError) -> bool:
        if not isinstance(error, BadRequestError):
            return False
        said = str(error)
        # Decide by what this request contained: a concurrent request may have learned the same already.
        if "stream_options" in said and "stream_options" in ask.sent.keys() - ask.parameters.keys():
            self._refuses_stream_options = True
            return True
        if "max_completion_tokens" in said and "max_tokens" in ask.sent:
            self._wants_max_completion_tokens.add(ask.model)
            return True
        if _FORM_REFUSED.search(said) and "response_format" in ask.sent.keys() - ask.parameters.keys():
            self._refused_forms.add((ask.model, json.dumps(ask.sent["response_format"])))
            return True
        return False

    def _response_format(self, model: str, preferred: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return the preferred response format, or the next best one that this endpoint has not refused, if any."""
        forms = [preferred] if preferred else []
        schema = (preferred or {}).get("json_schema", {}).get("schema")
        if schema and schema.get("type") == "object":  # the simpler format can request nothing but an object
            forms.append({"type": "json_object"})
        return next((form for form in forms if (model, json.dumps(form)) not in self._refused_forms), None)


class _ChatReader(AnswerReader):
    """Reader of ``chat.completion.chunk`` events, and of a whole ``chat.completion``."""

    def __init__(self, timeout: float) -> None:
        super().__init__(timeout)
        self._usage: Usage | None = None
        self._finish_reason: str | None = None

    def _read(self, event: dict[str, Any], chunks: list[Any]) -> None:
        choices = event.get("choices")
        if not choices or "error" in event:
            self._raise_error_in(event)
        if not self._told:
            self._tell(chunks, event.get("model"), event.get("id"))
        usage = event.get("usage")
        if usage:
            self._take_usage(usage)
        if not choices:
            return
        choice = choices[0]
        if choice.get("index"):
            return  # only one answer was requested
        self._take_message(choice.get("delta") or choice.get("message") or {}, chunks)
        reason = choice.get("finish_reason")
        if reason:
            self._take_finish_reason(reason)

    def _chunks_of_whole(self, answer: dict[str, Any]) -> list[Any]:
        self._raise_error_in(answer)
        if "choices" not in answer:
            raise StreamInterruptedError("JSON came that is no answer: is the base URL right?")
        chunks: list[Any] = []
        self._read(answer, chunks)
        self.finished = True
        return chunks

    def _last_chunks(self) -> list[Any]:
        chunks: list[Any] = []
        if self._finish_reason:
            chunks.append(FinishReason(self._finish_reason))
        if self._usage:
            chunks.append(self._usage)
        return chunks

    def _take_message(self, message: dict[str, Any], chunks: list[Any]) -> None:
        # Servers use either name for a model's reasoning; those that use both repeat the same text.
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        if reasoning and isinstance(reasoning, str):
            chunks.append(Reasoning(reasoning))
        content = message.get("content")
        if content:
            if isinstance(content, str):
                chunks.append(content)
            else:
                _take_parts(content, chunks)
        refusal = message.get("refusal")
        if refusal and isinstance(refusal, str):
            chunks.append(refusal)

    def _take_finish_reason(self, reason: Any) -> None:
        if reason == "error":
            raise StreamInterruptedError("the provider broke off with an error that it does not name")
        self._finish_reason = str(reason)
        self.finished = True

    def _take_usage(self, usage: Any) -> None:
        if isinstance(usage, dict):
            self._usage = Usage(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))

    def _raise_error_in(self, event: dict[str, Any]) -> None:
        error = event.get("error")
        if error is None and event.get("object") == "error":
            error = event
        if error:
            raise error_in_stream(error, {"request_id": self.request_id})


def _take_parts(parts: Any, chunks: list[Any]) -> None:
    """Add the chunks of content that is a list of parts: text, and with some services the model's thinking."""
    for part in parts if isinstance(parts, list) else [parts]:
        if isinstance(part, str):
            text: Any = part
            thinking: Any = None
        elif isinstance(part, dict):
            text, thinking = part.get("text"), part.get("thinking")
        else:
            continue
        if isinstance(thinking, list):
            thinking = "".join(str(inner.get("text", "")) for inner in thinking if isinstance(inner, dict))
        if thinking:
            chunks.append(Reasoning(str(thinking)))
        if text and isinstance(text, str):
            chunks.append(text)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _name_of(base_url: str | Callable[[], str] | None) -> str:
    """Return ``openai`` for OpenAI's own endpoint, and the host for any other, so that you can tell them apart."""
    try:
        parts = urlsplit(base_url if isinstance(base_url, str) else "")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or host == "api.openai.com":
        return "openai"
    return f"{host}:{port}" if port else host
