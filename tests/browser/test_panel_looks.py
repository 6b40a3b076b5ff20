"""What the panel looks like in JupyterLab, and whether each of its controls can be reached and has a name."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab import PATIENCE, NotebookPage, Server
from panel_page import TABS, PanelPage, open_panel_page
from playwright.sync_api import Locator, Page, expect

LONG_NAME = """
nbretry.register("a-provider-with-a-rather-long-name", Echo())
"""
OVERFLOWING = """() => {
  const panel = document.querySelector('.nbretry-panel');
  const outer = panel.getBoundingClientRect();
  const isCut = one => one !== panel && (getComputedStyle(one).textOverflow === 'ellipsis' || isCut(one.parentElement));
  return [...panel.querySelectorAll('*')].filter(one => {
    const box = one.getBoundingClientRect();
    return box.width > 1 && box.height > 1 && (box.right > outer.right + 0.5 || box.left < outer.left - 0.5)
      && one.checkVisibility() && !one.closest('.nbretry-text, pre, datalist, mjx-container') && !isCut(one);
  }).map(one => one.outerHTML.slice(0, 200));
}"""
FOCUSED = """() => {
  const one = document.activeElement;
  const style = getComputedStyle(one);
  return {
    inside: one.closest('.nbretry-panel') !== null,
    marked: (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1) || style.boxShadow.includes('inset'),
    what: `${one.tagName} ${one.title || one.labels?.[0]?.textContent || one.textContent}`.trim(),
    y: one.closest('.nbretry-provider')?.getBoundingClientRect().y ?? null,
  };
}"""
FAINT = """() => {
  const channels = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
  const light = colour => {
    const [r, g, b] = channels(colour).map(one => one / 255)
      .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = one => {
    for (let at = one; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return getComputedStyle(at).backgroundColor;
    }
    return 'rgb(255, 255, 255)';
  };
  const written = one => [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  const panel = document.querySelector('.nbretry-panel');
  return [...panel.querySelectorAll('*')].filter(one =>
    written(one) && one.checkVisibility()
    && !one.closest('style, button:disabled, .nbretry-sign, .nbretry-off, mjx-container')
  ).map(one => {
    const [high, low] = [light(getComputedStyle(one).color), light(behind(one))].sort((a, b) => b - a);
    return [(high + 0.05) / (low + 0.05), one.outerHTML.slice(0, 150)];
  }).filter(([contrast]) => contrast < 3);
}"""
"""What is written with a contrast below 3; a sign before words, in a colour of JupyterLab's, says no more than they."""

CONTROLS = "button:enabled, input:enabled, textarea:enabled, select:enabled, summary, [role=tab][tabindex='0']"


@pytest.fixture(scope="module")
def shared(module_page: Page, server: Server) -> PanelPage:
    return open_panel_page(module_page, server, "panel-looks.ipynb", LONG_NAME)


def columns(panel: PanelPage) -> set[tuple[int, ...]]:
    """Where the parts of the rows of the picker begin, in pixels; one such tuple where all are aligned."""
    found = set()
    for row in panel.panel.locator(".nbretry-picker-rows > .nbretry-provider").all():
        parts = row.locator(
            ":scope > .nbretry-name, :scope > .nbretry-order, :scope > .nbretry-model, .nbretry-place, .nbretry-state, "
            ".nbretry-first, .nbretry-price"
        )
        boxes = [box for part in parts.all() if (box := part.bounding_box())]
        found.add(tuple(round(box["x"] if box["width"] > 40 else box["x"] + box["width"]) for box in boxes))
    return found


def test_it_is_aligned_at_any_width(panel: PanelPage, pictures: Path) -> None:
    """In all tabs nothing sticks out, and columns stand under each other, on a narrow page and on a wide one."""
    panel.show("nobody-there,a-provider-with-a-rather-long-name,groq,local")
    panel.ask("Why?")
    expect(panel.report).to_be_visible(timeout=PATIENCE)
    for width in (600, 1100, 1600):
        panel.page.set_viewport_size({"width": width, "height": 1600})
        for tab in TABS:
            panel.tab(tab)
            panel.settle()
            assert panel.page.evaluate(OVERFLOWING) == [], (width, tab)
            outer, cell = panel.panel.bounding_box(), panel.notebook.cell(1).bounding_box()
            assert outer is not None
            assert cell is not None
            assert outer["x"] + outer["width"] <= cell["x"] + cell["width"] + 1
            panel.picture(pictures / f"panel-{tab.lower().replace(' ', '-')}-{width}.png")
        panel.tab("Providers")
        assert len(columns(panel)) == 1, columns(panel)


def test_every_control_has_a_name_and_is_reached_with_tab(panel: PanelPage) -> None:
    """Tab goes through all that can be operated, in the order in which it is seen, and shows where one is."""
    panel.show("refusing,thorough,echo")
    panel.panel.get_by_role("button", name="ask echo earlier").click()
    panel.ask("Why?")
    expect(panel.report).to_be_visible(timeout=PATIENCE)
    for tab in TABS:
        panel.tab(tab)
        for control in panel.panel.locator("button, input, textarea, select").all():
            if control.is_visible():
                assert name_of(control) != "", control.evaluate("one => one.outerHTML")
        visible = [one for one in panel.panel.locator(CONTROLS).all() if one.is_visible()]
        seen = walk(panel)
        assert len(seen) == len(visible), (tab, [one["what"] for one in seen])
        assert all(one["marked"] for one in seen), [one["what"] for one in seen if not one["marked"]]
        places = [one["y"] for one in seen if one["y"] is not None]
        assert places == sorted(places)


def name_of(control: Locator) -> str:
    """The name that a control has for somebody who does not see it."""
    snapshot = control.aria_snapshot()
    return snapshot.partition('"')[2].partition('"')[0]


def walk(panel: PanelPage) -> list[dict[str, object]]:
    """What Tab reaches in the panel, from its open tab on."""
    panel.panel.locator("[role=tab][aria-selected=true]").focus()
    panel.page.keyboard.press("Tab")  # by a key, so that the browser shows where one is
    panel.page.keyboard.press("Shift+Tab")
    seen = [panel.page.evaluate(FOCUSED)]
    while len(seen) < 100:
        panel.page.keyboard.press("Tab")
        now = panel.page.evaluate(FOCUSED)
        if not now["inside"]:
            break
        seen.append(now)
    return seen


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_text_stands_out_in_both_themes(
    page: Page, server: Server, shared: PanelPage, pictures: Path, theme: str
) -> None:
    """In every tab, what is written stands out from what is behind it, in the light theme and in the dark one."""
    page.set_viewport_size({"width": 1100, "height": 1500})
    server.set_theme(f"JupyterLab {theme}")
    NotebookPage(page, server, "panel-looks.ipynb")
    shared.show("nobody-there,refusing,groq,thorough")
    shared.ask("Why is the sky blue?")
    expect(shared.report).to_be_visible(timeout=PATIENCE)
    for tab in TABS:
        shared.tab(tab)
        shared.settle()
        shared.picture(pictures / f"panel-{tab.lower().replace(' ', '-')}-{theme.lower()}.png")
        assert page.evaluate(FAINT) == []
