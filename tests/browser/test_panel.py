"""Asking in the panel in JupyterLab: what a person sees while the answer comes, and how it is stopped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lab import PATIENCE, Server
from panel_page import PanelPage, open_panel_page
from playwright.sync_api import Locator, Page, expect

WAITED = r"asked, waiting for the first content (\d+) s"


@pytest.fixture(scope="module")
def shared(module_page: Page, server: Server) -> PanelPage:
    return open_panel_page(module_page, server, "panel-asking.ipynb")


def seconds(words: Locator, pattern: str) -> float:
    """The number of seconds that stands there."""
    expect(words).to_contain_text(re.compile(pattern), timeout=PATIENCE)
    found = re.search(pattern, words.inner_text())
    assert found is not None
    return float(found[1])


def test_a_question_and_a_failover(panel: PanelPage, pictures: Path) -> None:
    """One types a question and presses Ask; two fail, the third answers, and everything of it is told."""
    panel.show("nobody-there,refusing,thorough,groq,local")
    expect(panel.state("groq")).to_contain_text("no key: set GROQ_API_KEY")
    panel.expect_enabled("Use in %%ask")
    panel.picture(pictures / "panel-idle.png")
    panel.prompt.click()
    panel.page.keyboard.type("Why is the sky blue?")
    expect(panel.button("Ask")).to_be_enabled()
    panel.picture(pictures / "panel-typing.png")
    panel.button("Ask").click()
    expect(panel.report).to_contain_text("thorough · sky-large-2026 · first token", timeout=PATIENCE)
    expect(panel.report).to_contain_text("failed: nobody-there, refusing")
    expect(panel.text.locator("strong")).to_have_text("short waves")
    expect(panel.text.locator("mjx-container").first).to_be_visible(timeout=PATIENCE)
    expect(panel.state("nobody-there")).to_contain_text("unreachable: cannot connect")
    expect(panel.state("refusing")).to_contain_text("resting")
    expect(panel.state("thorough")).to_contain_text("ready")
    panel.expect_enabled("Ask", "Ask again", "Clear", "Insert as cell", "Use in %%ask")
    panel.picture(pictures / "panel-answered.png")
    panel.report.click()
    expect(panel.answer.locator("details.nbretry-report tbody tr")).to_have_count(3)
    expect(panel.answer.get_by_alt_text("time line of 3 attempts")).to_be_visible()
    failure = panel.failures.locator("summary", has_text="2. refusing: AuthenticationError: the key is not valid")
    failure.click()
    expect(panel.failures.locator("pre:visible", has_text="Traceback")).to_be_visible()
    panel.picture(pictures / "panel-report.png")
    panel.button("Clear").click()
    expect(panel.prompt).to_have_value("")
    expect(panel.answer).not_to_contain_text("short waves")
    expect(panel.happened).not_to_be_visible()


def test_attempts_appear_live(panel: PanelPage, pictures: Path) -> None:
    """While the third provider is waited for, the first two have failed already and its seconds are counted."""
    panel.show("nobody-there,refusing,hung")
    panel.ask("Who is there?")
    waited = seconds(panel.happened, WAITED)
    expect(panel.happened).to_contain_text("failed: AuthenticationError: the key is not valid")
    expect(panel.failures.locator("summary")).to_have_count(2)
    panel.failures.locator("summary").nth(1).click()
    for _ in range(2):
        expect(panel.happened).not_to_contain_text(f"the first content {waited:g} s")
        before, waited = waited, seconds(panel.happened, WAITED)
        assert waited > before
    expect(panel.failures.locator("pre:visible", has_text="Traceback")).to_be_visible()
    panel.picture(pictures / "panel-connecting.png")
    stop(panel)


def stop(panel: PanelPage) -> None:
    panel.button("Stop").click()
    expect(panel.answer).to_contain_text("■ stopped")
    expect(panel.button("Stop")).to_be_disabled()
    expect(panel.button("Ask")).to_be_enabled()


def test_stop_while_nothing_has_come(panel: PanelPage) -> None:
    """A provider that hangs is left at once, and nobody else is asked."""
    panel.show("hung,thorough")
    panel.ask("Who is there?")
    expect(panel.happened).to_contain_text("waiting for the first content", timeout=PATIENCE)
    stop(panel)
    expect(panel.report).to_contain_text("stopped · hung")
    expect(panel.happened).not_to_contain_text("thorough")


def test_stop_in_a_backoff(panel: PanelPage, pictures: Path) -> None:
    """The seconds of a backoff are counted down, and one need not wait for their end."""
    panel.show("busy")
    panel.ask("Is it free?")
    left = seconds(panel.happened, r"asked again in (\d+\.\d) s")
    panel.picture(pictures / "panel-backoff.png")
    expect(panel.happened).not_to_contain_text(f"asked again in {left:.1f} s", timeout=PATIENCE)
    assert seconds(panel.happened, r"asked again in (\d+\.\d) s") < left
    stop(panel)
    expect(panel.happened).to_contain_text("stopped while waiting")


def test_stop_while_it_streams(panel: PanelPage, pictures: Path) -> None:
    """The text that has come stays, marked; and nothing above it has moved since it began to come."""
    panel.show("refusing,slow")
    above = [panel.prompt, panel.button("Ask"), panel.button("Use in %%ask")]
    idle = panel.places(above)
    panel.ask("Count.")
    expect(panel.text).to_contain_text("word5", timeout=PATIENCE)
    expect(panel.happened).to_be_visible(timeout=PATIENCE)
    begun = panel.places([*above, panel.happened, panel.text])
    expect(panel.text).to_contain_text("word40", timeout=PATIENCE)
    assert panel.places([*above, panel.happened, panel.text]) == begun
    panel.picture(pictures / "panel-streaming.png")
    stop(panel)
    expect(panel.report).to_contain_text("stopped · slow")
    expect(panel.text).to_contain_text("word40")
    assert panel.places([*above, panel.happened, panel.text]) == begun
    assert begun[: len(idle)] == idle
    panel.picture(pictures / "panel-stopped.png")


def test_stop_while_a_cell_blocks_the_kernel(panel: PanelPage) -> None:
    """The answer streams on while another cell blocks the kernel, and Stop stops it there."""
    panel.show("slow")
    panel.ask("Count.")
    expect(panel.text).to_contain_text("word5", timeout=PATIENCE)
    panel.start(2, "time.sleep(600)")
    panel.expect_running(2)
    expect(panel.text).to_contain_text("word60", timeout=PATIENCE)
    stop(panel)
    panel.expect_running(2)
    panel.notebook.interrupt()
    panel.notebook.wait_until_idle(2)
    expect(panel.code("print(_answer.state, 'word60' in _answer.text)").first).to_contain_text("stopped True")


def test_everybody_fails(panel: PanelPage, pictures: Path) -> None:
    """Where nobody answers, the panel says so, and why for each."""
    panel.show("nobody-there,refusing")
    panel.ask("Who is there?")
    expect(panel.report).to_contain_text("nobody answered", timeout=PATIENCE)
    expect(panel.answer).to_contain_text("✗ every provider failed")
    expect(panel.failures.locator("summary").first).to_contain_text("1. nobody-there: APIConnectionError: cannot")
    for words in ("Ask", "Ask again"):
        expect(panel.button(words)).to_be_enabled()
    panel.picture(pictures / "panel-all-failed.png")


def test_a_conversation_and_ask_again(panel: PanelPage, pictures: Path) -> None:
    """A conversation goes on where %%ask -c left it; Ask again takes the place of the last answer; Clear ends it."""
    panel.show("counting")
    panel.code("%%ask -c -p counting\nOne.")
    panel.panel.get_by_label("Conversation", exact=True).check()
    expect(panel.panel).to_contain_text("1 turn so far")
    panel.ask("Two.")
    expect(panel.text).to_contain_text("3 messages, the last: Two.", timeout=PATIENCE)
    expect(panel.panel).to_contain_text("2 turns so far")
    panel.prompt.fill("typed since then")
    panel.button("Ask again").click()
    expect(panel.text).to_contain_text("3 messages, the last: Two. (call 3)", timeout=PATIENCE)
    expect(panel.panel).to_contain_text("2 turns so far")
    expect(panel.prompt).to_have_value("typed since then")
    panel.picture(pictures / "panel-conversation.png")
    panel.button("Clear").click()
    expect(panel.panel).to_contain_text("0 turns so far")


def test_with_the_keyboard(panel: PanelPage) -> None:
    """From the prompt, Ask is one Tab away, and from there Stop."""
    panel.show("slow")
    panel.prompt.focus()
    panel.page.keyboard.type("Hello {x}.")
    expect(panel.button("Ask")).to_be_enabled()
    panel.page.keyboard.press("Tab")
    expect(panel.button("Ask")).to_be_focused()
    panel.page.keyboard.press("Enter")
    expect(panel.text).to_contain_text("word5", timeout=PATIENCE)
    panel.page.keyboard.press("Tab")
    expect(panel.button("Stop")).to_be_focused()
    panel.page.keyboard.press("Space")
    expect(panel.answer).to_contain_text("■ stopped")


@pytest.mark.local_model
def test_the_local_model(panel: PanelPage) -> None:
    """The model on this machine answers in the panel."""
    panel.show("nobody-there,local")
    panel.code("%nbretry config max_tokens 12")
    panel.ask("Say hello.")
    expect(panel.report).to_contain_text("local · SmolLM2-135M-Instruct · first token", timeout=2 * PATIENCE)
    assert panel.text.inner_text().strip()


def test_two_cells_show_one_panel(panel: PanelPage) -> None:
    """What is typed, picked and answered in one of two cells that show the panel is seen in the other."""
    panel.show("echo,thorough")
    panel.code("nbretry.panel()")
    panels = panel.panel
    expect(panels).to_have_count(2)
    panels.nth(1).get_by_label("Prompt", exact=True).fill("Hello.")
    expect(panels.nth(0).get_by_label("Prompt", exact=True)).to_have_value("Hello.")
    panels.nth(0).get_by_label("thorough", exact=True).uncheck()
    expect(panels.nth(1).get_by_label("thorough", exact=True)).not_to_be_checked()
    panels.nth(0).get_by_role("button", name="ask echo later").click()
    panels.nth(1).get_by_role("button", name=re.compile(r"\WAsk$")).click()
    for one in panels.all():
        expect(one.locator(".nbretry-text")).to_contain_text("You said: Hello.", timeout=PATIENCE)
    expect(panel.page.locator(".nbretry-static:visible")).to_have_count(0)
    panel.code("pass")


def test_typing_while_a_cell_awaits(panel: PanelPage) -> None:
    """The panel takes what is typed while a cell awaits something."""
    panel.show("echo")
    panel.start(2, "while True: await asyncio.sleep(0.2)")
    panel.expect_running(2)
    panel.prompt.click()
    panel.page.keyboard.type("typed while a cell waits", delay=20)
    panel.button("Ask").click()
    expect(panel.text).to_contain_text("You said: typed while a cell waits", timeout=PATIENCE)
    panel.expect_running(2)
    panel.notebook.interrupt()
    panel.notebook.wait_until_idle(2)
