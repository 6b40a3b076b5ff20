"""Prices of tokens, and estimates of token counts that no provider has reported yet.

Prices are in US dollars per million tokens. `PriceTable` looks them up in this order: your own prices, 0 for models
that run on this machine, and the table of the package ``genai-prices`` if it is installed. That table comes with the
package and is never downloaded.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbretry.errors import ConfigError
from nbretry.types import Messages, Usage

__all__ = ["Price", "PriceTable", "dollars", "estimate_prompt_tokens", "estimate_tokens"]

_FREE = frozenset({"local", "ollama", "vllm", "lmstudio", "llamacpp"})
_LOOPBACK = re.compile(r"(?:localhost|127(?:\.\d{1,3}){3}|::1)(?::\d+)?")
_PACKAGE_NAMES = {"xai": "x-ai", "gemini": "google"}
_DATE = re.compile(r"[-@]20\d\d-?(?:0[1-9]|1[0-2])-?[0-3]\d$")


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a model's tokens.

    Attributes:
        prompt: US dollars per million tokens of the messages.
        completion: US dollars per million tokens of the answer.

    Raises:
        ConfigError: one of them is not a number of 0 or more.

    Example:
        >>> from nbretry.types import Usage
        >>> Price(prompt=0.75, completion=4.5).cost(Usage(prompt_tokens=2000, completion_tokens=1000))
        0.006
    """

    prompt: float
    completion: float

    def __post_init__(self) -> None:
        for name in ("prompt", "completion"):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not 0 <= value <= sys.float_info.max  # excludes NaN and infinity
            ):
                raise ConfigError(
                    f"the {name} price must be 0 or more US dollars per million tokens, for example 2.5, not {value!r}"
                )
            object.__setattr__(self, name, float(value))

    def cost(self, usage: Usage) -> float | None:
        """Return the cost of this many tokens in US dollars; None if neither count is known.

        Tokens that the provider read from its cache or wrote to it are treated as ordinary ones. If only one count is
        known, the other one counts as 0.
        """
        if usage.total_tokens is None:
            return None
        prompt = (usage.prompt_tokens or 0) * self.prompt
        completion = (usage.completion_tokens or 0) * self.completion
        return (prompt + completion) / 1_000_000


class PriceTable:
    """The prices of models by provider.

    Args:
        prices: your own prices, ``{name: Price(prompt, completion)}`` or ``{name: (prompt, completion)}``, with names
            as for `set`.

    Raises:
        ConfigError: a name is empty, or a price is not two numbers of 0 or more.

    Example:
        >>> prices = PriceTable({"openai/gpt-5.4-mini": (0.75, 4.5), "lab": (0, 0)})
        >>> prices.price("openai", "gpt-5.4-mini")
        Price(prompt=0.75, completion=4.5)
        >>> prices.price("local", "SmolLM2-135M-Instruct")
        Price(prompt=0.0, completion=0.0)
    """

    def __init__(self, prices: Mapping[str, Price | tuple[float, float]] | None = None) -> None:
        self._own: dict[str, Price] = {}
        for name, price in (prices or {}).items():
            if isinstance(price, Price):
                self.set(name, price.prompt, price.completion)
            elif isinstance(price, tuple | list) and len(price) == 2:
                self.set(name, *price)
            else:
                raise ConfigError(
                    f"the price of {name!r} must be a pair (prompt, completion) in US dollars per million tokens, "
                    f"not {price!r}"
                )

    def set(self, name: str, prompt: float, completion: float) -> None:
        """Set a price of your own, which takes precedence over any other.

        Args:
            name: ``provider/model``, ``model``, or ``provider`` for all models of a provider; case is ignored. The
                name of a model also covers its dated releases: ``gpt-x`` covers ``gpt-x-2026-01-31``.
            prompt: US dollars per million tokens of the messages.
            completion: US dollars per million tokens of the answer.

        Raises:
            ConfigError: the name is empty, or a price is not a number of 0 or more.

        Example:
            >>> prices = PriceTable()
            >>> prices.set("qwen3", 0.1, 0.4)
            >>> prices.price("groq", "qwen3-2026-01-31")
            Price(prompt=0.1, completion=0.4)
        """
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"a price is set for 'provider/model', 'model' or 'provider', not for {name!r}")
        try:
            self._own[_key(name)] = Price(prompt, completion)
        except ConfigError as error:
            raise ConfigError(f"price of {name!r}: {error}") from None

    def needs_package(self, provider: str) -> bool:
        """Return whether looking up a price of this provider may load the package's table, which is not loaded yet."""
        name = _key(provider.rpartition("→")[2])
        free = name in self._own or name in _FREE or _LOOPBACK.fullmatch(name) is not None
        return not free and "genai_prices" not in sys.modules and importlib.util.find_spec("genai_prices") is not None

    def load_package(self) -> None:
        """Load the package's table now, so that a later lookup does not block an event loop."""
        _package_price("openai", "gpt-4o", 0)

    def price(self, provider: str, model: str, *, prompt_tokens: int = 0, own_only: bool = False) -> Price | None:
        """Return the current price of a model; None if it is not known.

        Your own prices come first: for the provider's model, then for the model, then for the provider. The local
        model and servers on this machine are free. All other prices are looked up in the table of ``genai-prices``,
        which takes 0.1 to 0.3 s the first time. If the table does not know the provider, the model's name is used,
        provided that it belongs to exactly one maker. The price of a model with a fee per request is not known.

        Args:
            provider: name of the provider or host of its endpoint. Of ``a → b`` (``a`` passed the question on to
                ``b``), only the last part is used.
            model: name of the model, as requested or as reported in the response.
            prompt_tokens: tokens of the messages; some models cost more for long prompts.
            own_only: do not use the package's table.
        """
        provider, model = _key(provider.rpartition("→")[2]), _key(model)
        undated = _DATE.sub("", model)
        for name in (f"{provider}/{model}", f"{provider}/{undated}", model, undated, provider):
            if name in self._own:
                return self._own[name]
        if provider in _FREE or _LOOPBACK.fullmatch(provider):
            return Price(0, 0)
        return None if own_only else _package_price(provider, model, prompt_tokens)


def _key(name: str) -> str:
    return name.strip().lower()


def _package_price(provider: str, model: str, prompt_tokens: int) -> Price | None:
    try:
        import genai_prices
    except ImportError:
        return None
    tokens = max(1, prompt_tokens)
    try:
        maker = _package_provider(provider, model)
        name = model.removeprefix("models/") if maker == "google" else model
        counts = genai_prices.Usage(input_tokens=tokens, output_tokens=1)
        found = genai_prices.calc_price(counts, name, provider_id=maker)
    except (LookupError, ValueError):
        return None
    if found.total_price != found.input_price + found.output_price:
        return None  # the model also charges a fee per request
    if found.model_price.input_mtok is None or found.model_price.output_mtok is None:
        # The table has no numbers for free models, and none for models whose price it does not know.
        return Price(0, 0) if found.model.id.endswith(":free") else None
    return Price(float(found.input_price / tokens * 1_000_000), float(found.output_price * 1_000_000))


def _package_provider(provider: str, model: str) -> str:
    """Return the package's identifier of a provider.

    The package's own matching takes every name that contains ``openai`` for OpenAI, so this function compares whole
    names.

    Raises:
        LookupError: neither the provider's name nor the model's name identifies one provider of the package.
    """
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    known = {each.id for each in snapshot.providers}
    name = _PACKAGE_NAMES.get(provider, provider)
    if name in known:
        return name
    if "." in name:
        try:
            return snapshot.find_provider(None, None, f"https://{name}").id
        except LookupError:
            pass  # a host that the package does not know
    makers = [each.id for each in snapshot.providers if each.model_match and each.model_match.is_match(model)]
    if len(makers) != 1:
        raise LookupError(model)
    return makers[0]


_TOKENS = {
    "word": 0.85,
    "number": 1.3,
    "space": 1.0,
    "sign": 0.7,
    "han": 0.85,
    "syllable": 0.75,
    "letter": 0.35,
    "symbol": 1.0,
    "mark": 0.35,
}
_LONG_WORD = 6
_TOKENS_PER_FURTHER_LETTER = 0.5
_PIECES = re.compile(
    r"""
    (?P<word>      [A-Z]?[a-z]+ | [A-Z]+ )
  | (?P<number>    [0-9]{1,3} )
  | (?P<space>     \s{2,} | \n )
  | (?P<sign>      [!-/:-@\[-`{-~]{1,3} )
  | (?P<han>       [\u3400-\u9fff] )
  | (?P<syllable>  [\u3040-\u30ff\uac00-\ud7af] )
  | (?P<letter>    [^\W\d_a-zA-Z] )
  | (?P<symbol>    [\u2000-\u2bff\u3000-\u303f\uff00-\uffef\U0001f000-\U0001faff] )
  | (?P<mark>      [^\s\x00-\x7f] )
    """,
    re.VERBOSE,
)

_MESSAGE_TOKENS = 4
_ATTACHMENT_TOKENS = 1000


def estimate_tokens(text: str) -> int:
    """Estimate the number of tokens in a text, without a tokenizer.

    The estimate counts words, numbers, signs and the letters of other scripts, each with its own weight.

    Its accuracy was measured against ``o200k_base``, the tokenizer of OpenAI's models since GPT-4o, on 236 pieces of
    4,000 characters in English, code and 17 other languages: 91 % were within 20 % of the true count, 97 % within 30 %.
    Overall, the ratio of the estimate to the true count was 0.92 to 1.09 for English and code, 0.85 for JSON full of
    numbers, 0.99 to 1.02 for German, French and Spanish, 1.13 for Russian, 0.86 to 1.07 for Chinese, 1.03 for Japanese
    and 0.96 for Korean. The lowest was Polish with 0.79, the highest Vietnamese with 1.24.

    Older and smaller vocabularies need more tokens: with the one of SmolLM2-135M, the ratio for English and code was
    0.76 to 0.98, and ``cl100k_base`` needs up to three times as many tokens for scripts that are not Latin.
    """
    tokens = 0.0
    for piece in _PIECES.finditer(text):
        kind = piece.lastgroup or ""
        tokens += _TOKENS[kind]
        if kind == "word":
            tokens += max(0, piece.end() - piece.start() - _LONG_WORD) * _TOKENS_PER_FURTHER_LETTER
    return max(round(tokens), 1 if text else 0)


def estimate_prompt_tokens(messages: Messages) -> int:
    """Estimate the number of tokens in a conversation: its text by `estimate_tokens`, plus 4 for each message.

    A part that is not text, such as an image, counts as 1,000 tokens: by the rules of the large services, an image of
    a million pixels is 800 to 1,600 tokens. Anything sent in addition to the messages, such as descriptions of tools,
    is not counted.
    """
    return sum(
        _MESSAGE_TOKENS + _content_tokens(message.get("content")) + _call_tokens(message.get("tool_calls"))
        for message in messages
    )


def _content_tokens(content: Any) -> int:
    if isinstance(content, str):
        return estimate_tokens(content)
    if isinstance(content, list | tuple):
        return sum(_part_tokens(part) for part in content)
    return 0


def _part_tokens(part: Any) -> int:
    if isinstance(part, str):
        return estimate_tokens(part)
    if isinstance(part, Mapping):
        if isinstance(part.get("text"), str):
            return estimate_tokens(part["text"])
        if "content" in part:  # a tool's result
            return _content_tokens(part["content"])
        if "input" in part:  # a tool's arguments
            return _call_tokens(part["input"])
    return _ATTACHMENT_TOKENS


def _call_tokens(call: Any) -> int:
    return estimate_tokens(json.dumps(call, ensure_ascii=False, default=str)) if call else 0


def dollars(value: float, *, estimated: bool = False) -> str:
    """Format US dollars with the fewest useful digits, such as ``$1.20`` or ``$0.0034``; ``≈`` marks an estimate."""
    sign = "≈ " if estimated else ""
    if value == 0:
        return f"{sign}$0"
    if value < 1e-6:
        return f"{sign}< $0.000001"
    digits = 2 if value >= 0.0995 else 1 - math.floor(math.log10(value))  # two significant digits
    return f"{sign}${value:.{digits}f}"
