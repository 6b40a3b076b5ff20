"""What tokens cost, by whose table, and how well their number is guessed."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from typing import Any

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from nbretry.attempts import Attempt
from nbretry.errors import ConfigError
from nbretry.events import UsageReported, from_json, to_json
from nbretry.prices import Price, PriceTable, estimate_prompt_tokens, estimate_tokens
from nbretry.providers.services import PRESETS
from nbretry.types import Usage

SERVICES = [preset for preset in PRESETS.values() if not preset.on_this_machine]
WITHOUT_A_PRICE = {"openrouter"}  # its default model is whichever it chooses; the wire tells which one it was


# Costs


def test_a_cost_is_that_of_both_sides() -> None:
    """Each count is multiplied with its own price for a million."""
    assert Price(2, 10).cost(Usage(1_000_000, 500_000)) == 7.0
    assert Price(0.15, 0.6).cost(Usage(1000, 100)) == pytest.approx(0.00021)


def test_what_nobody_counted_has_no_cost() -> None:
    """Without any count there is no cost, not even of a free model; one unknown count beside a known one is 0."""
    assert Price(2, 10).cost(Usage()) is None
    assert Price(0, 0).cost(Usage()) is None
    assert Price(2, 10).cost(Usage(1_000_000, None)) == 2.0
    assert Price(2, 10).cost(Usage(None, 1_000_000)) == 10.0


@pytest.mark.parametrize("wrong", [-1, -0.01, math.nan, math.inf, "2", None, True, 10**400])
def test_a_wrong_price_is_refused_in_one_line(wrong: Any) -> None:
    """A price that is no finite number of 0 or more is refused, on either side and by every way in."""
    for attempt in (
        lambda: Price(wrong, 1),
        lambda: Price(1, wrong),
        lambda: PriceTable().set("gpt-x", wrong, 1),
        lambda: PriceTable({"gpt-x": (1, wrong)}),
    ):
        with pytest.raises(ConfigError, match="0 or more US dollars per million tokens") as caught:
            attempt()
        assert "\n" not in str(caught.value)


def test_a_refused_price_is_named_and_leaves_the_table_as_it_was() -> None:
    """The message says whose price was wrong, and the price before it still holds."""
    table = PriceTable({"gpt-x": (1, 2)})
    with pytest.raises(ConfigError, match="'gpt-x'"):
        table.set("gpt-x", -1, 2)
    assert table.price("lab", "gpt-x") == Price(1, 2)


@pytest.mark.parametrize("name", ["", "  ", None, 3])
def test_a_price_needs_a_name(name: Any) -> None:
    """A price for nobody is refused in one line."""
    with pytest.raises(ConfigError, match="'provider/model', 'model' or 'provider'"):
        PriceTable().set(name, 1, 2)


@pytest.mark.parametrize("pair", [3, "12", (1,), (1, 2, 3), {"prompt": 1}])
def test_a_price_is_a_pair(pair: Any) -> None:
    """What is no pair of prices is refused, with the name that it was given for."""
    with pytest.raises(ConfigError, match=r"'gpt-x'.*pair \(prompt, completion\)"):
        PriceTable({"gpt-x": pair})


# The user's own


def test_the_most_specific_of_the_users_prices_holds() -> None:
    """A provider's model goes before the model, the model before the provider, and each of them before the package."""
    table = PriceTable({"groq": (1, 1), "gpt-oss-120b": Price(2, 2), "groq/gpt-oss-120b": (3, 3)})
    assert table.price("groq", "gpt-oss-120b") == Price(3, 3)
    assert table.price("cerebras", "gpt-oss-120b") == Price(2, 2)
    assert table.price("groq", "openai/gpt-oss-120b") == Price(1, 1)


def test_upper_and_lower_case_are_one() -> None:
    """Names are found however they are written."""
    table = PriceTable({"Lab/Qwen3-8B": (1, 2)})
    assert table.price("lab", "qwen3-8b") == table.price("LAB", "Qwen3-8B") == Price(1, 2)


@pytest.mark.parametrize("release", ["gpt-x-2026-01-31", "gpt-x-20260131", "gpt-x@20260131"])
def test_a_dated_release_has_the_price_of_its_model(release: str) -> None:
    """The full name on the wire is found by the model's name; a price for the release itself goes before it."""
    table = PriceTable({"gpt-x": (1, 2)})
    assert table.price("openai", release) == Price(1, 2)
    table.set(release, 3, 4)
    assert table.price("openai", release) == Price(3, 4)
    assert table.price("openai", "gpt-x") == Price(1, 2)


def test_another_model_is_not_taken_for_a_dated_release() -> None:
    """A number at the end that is no date belongs to the model's name."""
    assert PriceTable({"model": (1, 2)}).price("lab", "model-2512") is None


def test_who_was_passed_a_question_has_the_price() -> None:
    """Of a path of providers the last one counts."""
    table = PriceTable({"lab": (1, 2), "outer": (9, 9)})
    assert table.price("outer → inner → lab", "m") == Price(1, 2)
    assert table.price("outer → local", "m") == Price(0, 0)


def test_the_users_price_goes_before_what_is_free() -> None:
    """Who counts the electricity of the own machine may."""
    assert PriceTable({"ollama": (0.1, 0.1)}).price("ollama", "qwen3") == Price(0.1, 0.1)


# What is free


def test_this_machine_costs_nothing() -> None:
    """Every preset that runs here is free with any model, also with one that its maker sells."""
    here = [preset.name for preset in PRESETS.values() if preset.on_this_machine]
    assert len(here) == 5
    for name in here:
        assert PriceTable().price(name, "deepseek-chat") == Price(0, 0)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "localhost:1234", "::1:8080", "127.0.1.1"])
def test_a_server_on_loopback_costs_nothing(host: str) -> None:
    """A provider that is named by its host on this machine is free."""
    assert PriceTable().price(host, "deepseek-chat") == Price(0, 0)


def test_another_host_is_not_taken_for_this_machine() -> None:
    """A name that only begins like loopback is not free."""
    assert PriceTable().price("localhost.example.com", "qwen3") is None
    assert PriceTable().price("127.0.0.1.example.com", "qwen3") is None


# The package's table


@pytest.mark.parametrize("preset", SERVICES, ids=lambda preset: preset.name)
def test_each_known_service_has_a_price_for_its_default_model(preset: Any) -> None:
    """Every service's name and every default model is one that the table knows, but for the one that chooses itself."""
    price = PriceTable().price(preset.name, preset.default_model or "gpt-5.4-mini")
    if preset.name in WITHOUT_A_PRICE:
        assert price is None
        price = PriceTable().price(preset.name, "openai/gpt-5.4-mini")
    assert price is not None
    assert 0 < price.prompt <= price.completion < 100


def test_every_cost_is_the_one_that_the_package_calculates() -> None:
    """For each model of the table, short prompts and long ones: the package's own sum, or unknown."""
    table = PriceTable()
    known = 0
    for provider in get_snapshot().providers:
        for model in provider.models:
            for tokens in (1000, 1_000_000):
                price = table.price(provider.id, model.id, prompt_tokens=tokens)
                if price is None:
                    continue
                known += 1
                counts = genai_prices.Usage(input_tokens=tokens, output_tokens=500)
                right = genai_prices.calc_price(counts, model.id, provider_id=provider.id).total_price
                if price.cost(Usage(tokens, 500)) != pytest.approx(float(right), rel=1e-9):
                    # some prices change with the hour, perhaps just now
                    price = table.price(provider.id, model.id, prompt_tokens=tokens)
                    assert price is not None
                    assert price.cost(Usage(tokens, 500)) == pytest.approx(float(right), rel=1e-9), model.id
    assert known > 2000


def test_a_long_prompt_may_cost_more() -> None:
    """Where a model has a higher price for long prompts, the prompt's length decides."""
    short = PriceTable().price("xai", "grok-4.3", prompt_tokens=1000)
    long = PriceTable().price("xai", "grok-4.3", prompt_tokens=500_000)
    assert short is not None
    assert long is not None
    assert long.prompt > short.prompt
    assert long.completion > short.completion


def test_what_tokens_do_not_tell_is_unknown() -> None:
    """A fee for each request, a price for one side only, and no numbers at all are no price; a free variant is 0."""
    table = PriceTable()
    assert table.price("perplexity", "sonar") is None
    assert table.price("openai", "text-embedding-3-small") is None
    assert table.price("github-copilot", "gpt-4o") is None
    assert table.price("openrouter", "google/gemma-3-27b-it:free") == Price(0, 0)


def test_a_host_is_known_by_its_service() -> None:
    """A provider that is named by its endpoint's host has its service's prices."""
    table = PriceTable()
    model = "openai/gpt-oss-120b"
    assert table.price("api.groq.com", model) == table.price("groq", model) != table.price("cerebras", "gpt-oss-120b")
    assert table.price("mine.openai.azure.com", "gpt-5.4-mini") == table.price("azure", "gpt-5.4-mini") is not None


def test_a_name_of_ones_own_goes_by_the_model() -> None:
    """A model whose name stands for one maker has that maker's price; one that stands for none or for two has none."""
    table = PriceTable()
    assert table.price("lab", "claude-sonnet-5") == table.price("anthropic", "claude-sonnet-5") is not None
    assert table.price("lab", "qwen3") is None
    assert table.price("lab", "") is None
    assert genai_prices.calc_price(genai_prices.Usage(input_tokens=1), "claude-3-haiku-grok")
    assert table.price("lab", "claude-3-haiku-grok") is None


def test_a_name_that_only_resembles_a_service_is_not_it() -> None:
    """What has the word openai in its name need not be OpenAI, and a service has no other one's models."""
    assert PriceTable().price("OpenaiChat", "text-davinci-003") is None
    assert PriceTable().price("groq", "claude-sonnet-5") is None


def test_gemini_names_its_models_with_a_folder() -> None:
    """The full name that Gemini's endpoint lists is the model."""
    table = PriceTable()
    assert table.price("gemini", "models/gemini-flash-latest") == table.price("gemini", "gemini-flash-latest")


def test_without_the_package_the_users_table_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is not installed, own prices and free ones work, and the rest is unknown."""
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    table = PriceTable({"lab": (1, 2)})
    assert table.price("lab", "m") == Price(1, 2)
    assert table.price("local", "m") == Price(0, 0)
    assert table.price("openai", "gpt-5.4-mini") is None


def in_a_new_interpreter(script: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_package_is_loaded_when_its_table_is_asked() -> None:
    """Neither importing nor own prices nor free ones load it or what it needs; the first other price does."""
    before, after = in_a_new_interpreter("""
import json, sys
import nbretry.prices
table = nbretry.prices.PriceTable({"lab": (1, 2)})
table.price("lab", "m"), table.price("local", "m"), nbretry.prices.estimate_tokens("some text")
heavy = ("genai_prices", "pydantic", "httpx2")
before = [name for name in heavy if name in sys.modules]
table.price("openai", "gpt-5.4-mini")
print(json.dumps([before, [name for name in heavy if name in sys.modules]]))
""")
    assert before == []
    assert "genai_prices" in after


def test_prices_are_never_fetched() -> None:
    """Known and unknown prices open no socket, resolve no name and start no thread; asking for an update would."""
    found = in_a_new_interpreter("""
import json, sys, threading

class Refused(Exception):
    pass

def no_network(event, arguments):
    if event.startswith("socket."):
        raise Refused(event)

sys.addaudithook(no_network)
from nbretry.prices import PriceTable
table = PriceTable()
prices = [table.price(*who) for who in (("openai", "gpt-5.4-mini"), ("lab", "claude-sonnet-5"), ("lab", "nothing"))]
threads = threading.active_count()

import genai_prices
try:
    genai_prices.UpdatePrices().fetch()
except Refused:
    print(json.dumps([[price is not None for price in prices], threads]))
""")
    assert found == [[True, True, False], 1]


# Estimates

# Counted with o200k_base.
COUNTED = {
    "English": (
        (
            "The sky appears blue because molecules of the air scatter short waves of sunlight much more than "
            "long ones. At sunset the light has a longer way through the atmosphere, most of the blue has "
            "been scattered out of it, and what reaches the eye is orange and red. On the Moon, where there "
            "is no air, the sky is black even at noon, and the stars can be seen beside the Sun."
        ),
        81,
    ),
    "Python": (
        (
            "class Counter:\n"
            '    """Counts words in files."""\n'
            "\n"
            '    def __init__(self, encoding: str = "utf-8") -> None:\n'
            "        self.encoding = encoding\n"
            "        self._totals: dict[str, int] = {}\n"
            "\n"
            "    def count(self, path: Path) -> int:\n"
            "        words = 0\n"
            "        with path.open(encoding=self.encoding) as lines:\n"
            "            for number, line in enumerate(lines, start=1):\n"
            "                if not line.strip():\n"
            "                    continue\n"
            "                words += len(line.split())\n"
            "        self._totals[str(path)] = words\n"
            "        return words\n"
        ),
        122,
    ),
    "JavaScript": (
        (
            "export async function fetchUser(id, { signal } = {}) {\n"
            "  const response = await fetch(`/api/users/${encodeURIComponent(id)}`, { signal });\n"
            "  if (!response.ok) {\n"
            "    throw new Error(`request failed with status ${response.status}`);\n"
            "  }\n"
            "  const user = await response.json();\n"
            "  return { ...user, createdAt: new Date(user.createdAt) };\n"
            "}\n"
        ),
        78,
    ),
    "JSON": (
        (
            '{"rows": [{"id": 1047, "name": "pump", "pressure": 3.75, "open": true}, {"id": 1048, "name": '
            '"valve", "pressure": 12.5, "open": false}, {"id": 1049, "name": "tank", "pressure": 0.02, '
            '"open": null}]}'
        ),
        83,
    ),
    "German": (
        (
            "Der Himmel erscheint blau, weil die Moleküle der Luft kurze Wellen des Sonnenlichts viel stärker "
            "streuen als lange. Bei Sonnenuntergang hat das Licht einen längeren Weg durch die Atmosphäre, "
            "der größte Teil des blauen Lichts ist herausgestreut, und was das Auge erreicht, ist orange und "
            "rot."
        ),
        66,
    ),
    "Russian": (
        (
            "Небо кажется голубым, потому что молекулы воздуха рассеивают короткие волны солнечного света "
            "гораздо сильнее, чем длинные. На закате свет проходит более долгий путь через атмосферу, большая "
            "часть голубого уже рассеяна, и до глаза доходят оранжевые и красные лучи."
        ),
        69,
    ),
    "Chinese": (
        (
            "天空看起来是蓝色的，因为空气分子对阳光中短波的散射比对长波的散射强得多。日落时，光线穿过大气层的"
            "路程更长，大部分蓝光已经被散射掉，到达眼睛的是橙色和红色的光。月球上没有空气，所以即使在中午，天"
            "空也是黑色的。"
        ),
        88,
    ),
    "Japanese": (
        (
            "空が青く見えるのは、空気の分子が太陽の光のうち波長の短いものを、長いものよりもずっと強く散乱させ"
            "るからです。夕方には光が大気の中をより長く通るため、青い光の多くは途中で散乱してしまい、目に届く"
            "のはオレンジや赤の光になります。"
        ),
        94,
    ),
    "Korean": (
        (
            "하늘이 파랗게 보이는 것은 공기 분자가 햇빛 가운데 파장이 짧은 빛을 긴 빛보다 훨씬 "
            "더 강하게 산란시키기 때문입니다. 해가 질 때에는 빛이 대기를 더 오래 지나므로 푸른빛"
            "은 대부분 흩어지고, 눈에 닿는 것은 주황색과 붉은색입니다."
        ),
        84,
    ),
}


@pytest.mark.parametrize("kind", COUNTED)
def test_an_estimate_is_near_the_true_count(kind: str) -> None:
    """Prose, code and other scripts are estimated to a quarter."""
    text, tokens = COUNTED[kind]
    assert estimate_tokens(text) == pytest.approx(tokens, rel=0.25)


def test_an_empty_text_has_no_token() -> None:
    """Nothing is 0, and anything at all is at least 1."""
    assert estimate_tokens("") == 0
    assert estimate_tokens(" ") == estimate_tokens("a") == estimate_tokens("\x00") == 1


@given(st.text(), st.text())
def test_two_texts_are_about_as_many_tokens_as_both(first: str, second: str) -> None:
    """Any text, half characters included, has an estimate, which is no more than the sum of its parts and a little."""
    whole = estimate_tokens(first + second)
    assert 0 <= whole <= estimate_tokens(first) + estimate_tokens(second) + 4


@pytest.mark.parametrize("piece", ["a", "A", " ", "\n", "9", "{", "天", "\u0301", "aA1 "])
def test_a_long_text_takes_time_in_proportion(piece: str) -> None:
    """No repetition makes the estimate slow: two million characters in seconds."""
    started = time.monotonic()
    assert estimate_tokens(piece * (2_000_000 // len(piece))) > 0
    assert time.monotonic() - started < 30


def test_a_conversation_is_its_texts_and_a_few_tokens_for_each_message() -> None:
    """The text counts the same as a string, as a part and as what a tool gave; each message adds 4."""
    text = "Why is the sky blue?"
    tokens = estimate_tokens(text)
    assert estimate_prompt_tokens([]) == 0
    assert estimate_prompt_tokens([{"role": "system", "content": text}, {"role": "user", "content": text}]) == (
        2 * tokens + 8
    )
    for content in (
        [text],
        [{"type": "text", "text": text}],
        [{"type": "tool_result", "tool_use_id": "1", "content": text}],
        [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": text}]}],
    ):
        assert estimate_prompt_tokens([{"role": "user", "content": content}]) == tokens + 4


def test_an_image_is_a_fixed_number_of_tokens() -> None:
    """An image counts 1,000 however many bytes of it are in the message."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    message = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]}
    assert estimate_prompt_tokens([message]) == 1004 + estimate_tokens("What is this?")


def test_calls_of_tools_count() -> None:
    """What a tool was called with is part of the prompt, in either protocol's form, and no content is no error."""
    arguments = {"question": "what is the weather in Vienna tomorrow", "days": 3}
    call = {"id": "1", "type": "function", "function": {"name": "ask", "arguments": json.dumps(arguments)}}
    of_openai = estimate_prompt_tokens([{"role": "assistant", "content": None, "tool_calls": [call]}])
    of_anthropic = estimate_prompt_tokens(
        [{"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "ask", "input": arguments}]}]
    )
    assert of_openai > 4 + estimate_tokens(json.dumps(arguments))
    assert of_anthropic == 4 + estimate_tokens(json.dumps(arguments))
    assert estimate_prompt_tokens([{"role": "assistant", "content": None}]) == 4


# Estimates in the record


@pytest.mark.parametrize("usage", [Usage(3, 4), Usage(3, None, estimated=True), Usage(None, 4, estimated=True)])
def test_an_estimate_is_marked_in_the_record(usage: Usage) -> None:
    """The mark goes through a log and back, is in an attempt's record, and is written only where it holds."""
    event = UsageReported(1, usage)
    record = json.loads(json.dumps(to_json(event)))
    assert from_json(record) == event
    assert ("estimated" in record["usage"]) == usage.estimated
    assert Attempt(1, "lab", "m", 0.0, usage=usage).to_dict()["usage"] == record["usage"]
