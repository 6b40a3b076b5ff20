"""The table of an examination, in a terminal and in a cell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page import Page

from nbretry._utils.redaction import remember_secret
from nbretry.renderers.doctor import doctor_html, doctor_text
from nbretry.session.diagnosis import Diagnosis

HOSTILE = "<script>alert('x')</script>&\"'"
SECRET = "a-secret-of-the-table"

GOOD = Diagnosis("local", True, key="not needed", model="Smol", listed=True, asked=True, first_content=0.314)
UNSET = Diagnosis(
    "groq",
    False,
    key="not set",
    key_variable="GROQ_API_KEY",
    endpoint="https://api.groq.com",
    model="gpt-oss",
    advice="set GROQ_API_KEY in the environment",
)
REFUSED = Diagnosis(
    "openai",
    False,
    key="set",
    key_variable="OPENAI_API_KEY",
    endpoint="https://openai.com",
    reachable=True,
    model="gpt",
    listed=False,
    asked=True,
    ask_error="AuthenticationError: the key is refused",
    resting_for=12.3,
    advice="put a valid key into OPENAI_API_KEY",
)


@pytest.fixture(autouse=True)
def known_secret() -> None:
    remember_secret(SECRET)


def test_table_in_a_terminal() -> None:
    """Each provider is a line in columns; under it stand the troubles, what to do, the verdict and the others."""
    others = {"xai": "XAI_API_KEY", "ollama": "", "vllm": ""}
    rests = "resting 12 s more"
    assert doctor_text([REFUSED, UNSET, GOOD], others).splitlines() == [
        "   Provider  Key                     Endpoint               Model                  First content  Cooldown",
        f"✗  openai    set (OPENAI_API_KEY)    openai.com, reachable  gpt, not listed        failed         {rests}",
        "✗  groq      not set (GROQ_API_KEY)  api.groq.com           gpt-oss                —              —",
        "✓  local     not needed              —                      Smol, on this machine  0.31 s         —",
        "",
        "openai: AuthenticationError: the key is refused",
        "openai: put a valid key into OPENAI_API_KEY",
        "groq: set GROQ_API_KEY in the environment",
        "",
        "Can answer: local.",
        "Not configured: xai (XAI_API_KEY); only where they are named: ollama, vllm.",
    ]


@pytest.mark.parametrize(
    ("found", "cell"),
    [
        (Diagnosis("p", True, asked=True, first_content=0.0213), "21 ms"),
        (Diagnosis("p", True, asked=True), "only thought"),
        (Diagnosis("p", False, asked=True, ask_error="ValueError"), "failed"),
        (Diagnosis("p", True), "not asked"),
        (Diagnosis("p", True, key="set"), "set"),
        (Diagnosis("p", False, endpoint="http://127.0.0.1:9", reachable=False), "127.0.0.1:9, not reachable"),
        (Diagnosis("p", True, endpoint="http://127.0.0.1:9", reachable=True), "127.0.0.1:9, reachable"),
        (Diagnosis("p", True, endpoint="http://h", model="m", listed=True), "m, listed"),
        (Diagnosis("p", False, model="m", listed=False), "m, not on this machine"),
        (Diagnosis("p", True, model="m"), "m"),
        (Diagnosis("p", True, resting_for=3.0), "resting 3.00 s more"),
    ],
)
def test_cells(found: Diagnosis, cell: str) -> None:
    """Each fact has its words, the same in both forms."""
    row = doctor_text([found]).splitlines()[1]
    assert cell in row.split("  ") or cell in [part.strip() for part in row.split("  ")]
    assert f">{cell}</td>" in doctor_html([found])


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([], "Nobody is configured."),
        ([UNSET], "groq cannot answer."),
        ([UNSET, REFUSED], "None of them can answer."),
        ([GOOD, UNSET, GOOD], "Can answer: local, local."),
    ],
)
def test_verdict(found: list[Diagnosis], verdict: str) -> None:
    """The last line says who can answer, or that none can."""
    assert doctor_text(found).splitlines()[-1] == verdict
    assert verdict in Page(doctor_html(found)).text


def test_table_in_a_cell() -> None:
    """The HTML is a table that runs and loads nothing; errors and advice stand under it, where no width cuts them."""
    html = doctor_html([REFUSED, UNSET, GOOD], {"xai": "XAI_API_KEY"})
    page = Page(html)
    page.assert_well_formed()
    page.assert_harmless()
    assert page.tags.count("tr") == 4
    assert page.tags.count("th") == 7
    under = html.partition("</table>")[2]
    assert f"<div>{REFUSED.provider}: AuthenticationError: the key is refused</div>" in under
    assert f"<div>{REFUSED.provider}: put a valid key into OPENAI_API_KEY</div>" in under
    assert page.text.endswith("Can answer: local.Not configured: xai (XAI_API_KEY).")


def test_long_cells_are_broken() -> None:
    """What may be long in a row is broken where the page is narrow; times are not."""
    row = doctor_html([GOOD]).partition("<tbody>")[2].partition("</tbody>")[0]
    assert ["nowrap" in cell for cell in row.split("<td")[1:]] == [False, True, False, False, False, True, True]


def test_an_error_of_one_that_can_answer_is_not_shown() -> None:
    """A list of models that was refused is no trouble where the provider answered."""
    found = Diagnosis("p", True, asked=True, first_content=0.1, endpoint_error="NotFoundError: no list")
    assert "NotFoundError" not in doctor_text([found]) + doctor_html([found])


@given(*[st.text(max_size=20).map(lambda text: text + HOSTILE)] * 6)
def test_words_of_strangers(name: str, model: str, error: str, advice: str, endpoint: str, variable: str) -> None:
    """No word of a stranger becomes a tag, steers a terminal, or breaks a row in two."""
    found = Diagnosis(
        name,
        False,
        key="set",
        key_variable=variable,
        endpoint=endpoint,
        reachable=True,
        model=model,
        ask_error=error,
        asked=True,
        advice=advice,
    )
    page = Page(doctor_html([found], {name: variable}))
    page.assert_well_formed()
    page.assert_harmless()
    text = doctor_text([found], {name: variable})
    assert len(text.split("\n")) == 8
    assert all(c == "\n" or (ord(c) >= 32 and not 127 <= ord(c) < 160) for c in text)


def test_secrets_are_masked() -> None:
    """A secret is masked in every place, also one that became known after the examination."""
    found = Diagnosis(
        SECRET,
        False,
        key="set",
        key_variable=SECRET,
        endpoint=f"http://{SECRET}",
        model=SECRET,
        ask_error=SECRET,
        advice=SECRET,
    )
    assert SECRET not in doctor_text([found], {SECRET: SECRET}) + doctor_html([found], {SECRET: SECRET})
