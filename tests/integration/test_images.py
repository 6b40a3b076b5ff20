"""Images in a question: what goes over the wire, and what follows where the model takes none."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from heard import Ask

from nbretry import RetryProvider, RetryProviderError
from nbretry.errors import BadRequestError, ImageInputError, NotFoundError, ProviderError, ServerError
from nbretry.prices import estimate_prompt_tokens
from nbretry.prompts.template import fill
from nbretry.providers import AnthropicProvider, BaseProvider, LocalProvider
from nbretry.retry.classify import FailureKind, classify, status_error
from nbretry.retry.running_attempt import Request
from nbretry.testing import FaultServer
from nbretry.types import Messages

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")
DATA = base64.b64encode(PIXEL).decode()


def asked(prompt: str = "What is in {{ image }}, please?", **names: Any) -> Messages:
    """The conversation of a prompt with an image."""
    return [{"role": "user", "content": fill(prompt, {"image": PIXEL, **names})}]


def over_openai(server: FaultServer, model: str = "simulated") -> BaseProvider:
    return server.provider(model)


def over_anthropic(server: FaultServer, model: str = "simulated") -> BaseProvider:
    return AnthropicProvider("none", model, model, server.origin)


Speak = Callable[..., BaseProvider]
both_protocols = pytest.mark.parametrize("speak", [over_openai, over_anthropic])

TEXTS = [{"type": "text", "text": "What is in "}, {"type": "text", "text": ", please?"}]
SENT = {
    over_openai: {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}},
    over_anthropic: {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
}


@both_protocols
def test_on_the_wire(ask: Ask, speak: Speak) -> None:
    """An image stands between the words around it, in the form that the protocol has for it."""
    with FaultServer("'A pixel.'") as server:
        heard = ask(speak(server), "", asked())
        assert (heard.exception, heard.text) == (None, "A pixel.")
        (request,) = server.requests
    assert request.messages == [{"role": "user", "content": [TEXTS[0], SENT[speak], TEXTS[1]]}]


REFUSALS = [
    (400, "Invalid content type. image_url is only supported by certain models."),
    (404, "No endpoints found that support image input"),
    (422, "messages[0]: unknown variant `image_url`, expected `text` at line 1 column 73"),
    (400, "Image input is not enabled for this model"),
    (400, "claude-x does not support image inputs."),
    (400, "Model doesn't support images. Please use another one."),
    (400, "tiny is not a multimodal model"),
    (400, "At most 0 image(s) may be provided in one request."),
    (400, "Unsupported content part type for text-only server: image_url"),
    (415, "this model does not support vision"),
    (500, "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"),
    (
        400,
        "'messages.0' : for 'role:user' the following must hold[('messages.0.content' : value must be a string)]",
    ),
    (422, "messages[0]: invalid type: sequence, expected a string at line 1 column 27"),
]


@pytest.mark.parametrize(("status", "message"), REFUSALS)
def test_refusals_of_images(status: int, message: str) -> None:
    """What services say where a model takes no images is an error of its own, after which the next one is asked."""
    error = status_error(status, message)
    assert type(error) is ImageInputError
    assert classify(error) is FailureKind.PROVIDER_UNFIT


OTHERS: list[tuple[int, str, type[ProviderError]]] = [
    (400, "Could not process image", BadRequestError),
    (
        400,
        "You uploaded an unsupported image. Please make sure your image has one of the following formats: png",
        BadRequestError,
    ),
    (400, "messages.0.content.1.image.source.base64: image exceeds 5 MB maximum", BadRequestError),
    (400, "The image media type image/bmp is not supported", BadRequestError),
    (400, "Unsupported parameter: 'max_tokens' is not supported with gpt-4-vision", BadRequestError),
    (400, "image_url is not a valid URL", BadRequestError),
    (404, "the model org/vision-8b is not available", NotFoundError),
    (500, "the image service is down", ServerError),
    (400, "the request is wrong", BadRequestError),
]


@pytest.mark.parametrize(("status", "message", "kind"), OTHERS)
def test_other_failures(status: int, message: str, kind: type[ProviderError]) -> None:
    """A broken image, one too large, of another format, and a model whose name has vision in it are something else."""
    assert type(status_error(status, message)) is kind


@both_protocols
@pytest.mark.parametrize("where", ["", "headers "], ids=["status", "in the stream"])
def test_refused_on_the_wire(ask: Ask, speak: Speak, where: str) -> None:
    """A refusal of images is the same error in both protocols, also inside of a stream that has begun."""
    with FaultServer(f"{where}400 message='this model does not support image input'") as server:
        heard = ask(speak(server), "", asked())
    assert type(heard.exception) is ImageInputError
    assert heard.exception.status_code == 400


@both_protocols
def test_the_next_provider_is_asked(speak: Speak) -> None:
    """Where the first model takes no images the next one is asked at once, and the first is not asked again."""
    refusing = {"blind": "400 message='images are not supported by this model'", "seeing": "'A pixel.'"}
    with FaultServer(refusing) as server:
        chain = RetryProvider(
            [speak(server, "blind"), speak(server, "seeing")], shuffle=False, single_provider_retry=True, max_retries=3
        )
        assert "".join(chain.create_completion("", asked(), stream=True)) == "A pixel."
        answer = asyncio.run(chain.answer("", asked()))
        assert [request.model for request in server.requests] == ["blind", "seeing"] * 2
    assert answer.text == "A pixel."
    assert type(answer.exceptions["blind"]) is ImageInputError


@pytest.fixture
def no_model(tmp_path: Path) -> LocalProvider:
    """A local model whose file is not there, which is told as soon as anything is started."""
    return LocalProvider(tmp_path / "tiny.gguf")


def test_the_local_model_takes_none(ask: Ask, no_model: LocalProvider) -> None:
    """The local model refuses an image in one line, before it looks for its file; a question in words it does not."""
    heard = ask(no_model, "", asked())
    assert heard.chunks == []
    assert type(heard.exception) is ImageInputError
    assert str(heard.exception) == "tiny takes no images: name a provider whose model does"
    assert (heard.exception.provider, heard.exception.model) == ("local", "tiny")
    other = ask(no_model, "", [{"role": "user", "content": "What is an image_url?"}])
    assert type(other.exception) is ProviderError


def test_after_the_local_model(no_model: LocalProvider) -> None:
    """After the local model the next one is asked; where nobody else is, the run fails with its line."""
    with FaultServer("'A pixel.'") as server:
        chain = RetryProvider([no_model, server.provider()], shuffle=False)
        assert asyncio.run(chain.answer("", asked())).text == "A pixel."
    with pytest.raises(RetryProviderError, match="local: ImageInputError: tiny takes no images"):
        list(RetryProvider([no_model]).create_completion("", asked(), stream=True))


def test_an_image_counts_as_an_image() -> None:
    """Of a large image neither the estimate of tokens nor the hash of the request minds its length; both see it."""
    large = PIXEL.ljust(10_000_000, b"x")
    words = [{"role": "user", "content": "What is in , please?"}]
    assert 500 <= estimate_prompt_tokens(asked(image=large)) - estimate_prompt_tokens(words) <= 1_500
    hashes = {Request("m", messages).sha256() for messages in (asked(), asked(), asked(image=large), words)}
    assert len(hashes) == 3
