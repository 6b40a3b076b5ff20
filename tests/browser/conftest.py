"""JupyterLab and Chromium for the tests of what a person sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Server, browser_page, find_chromium, serve
from panel_page import PanelPage
from playwright.sync_api import Page
from unable import unable

PICTURES = Path(__file__).parents[2] / "test-output"


@pytest.fixture(scope="session", autouse=True)
def chromium() -> str:
    """The browser; without one these tests are skipped, except in CI, where they may not be."""
    found = find_chromium()
    if found is None:
        reason = "THE BROWSER TESTS DID NOT RUN: there is no Chromium (Debian: apt-get install chromium)"
        unable(reason)
    return found


@pytest.fixture(scope="session")
def only_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="module")
def server(only_server: Server) -> Iterator[Server]:
    """The server; the kernels of a module's notebooks end with it."""
    yield only_server
    only_server.end_kernels()


@pytest.fixture(scope="module")
def module_page(chromium: str) -> Iterator[Page]:
    # No longer than these tests: Playwright has an event loop running in this thread for as long as it is open.
    with browser_page() as page:
        yield page


@pytest.fixture
def page(module_page: Page, server: Server) -> Page:
    """The module's page, at its first size and in the light theme."""
    module_page.set_viewport_size({"width": 1100, "height": 900})
    server.set_theme("JupyterLab Light")
    return module_page


@pytest.fixture
def panel(page: Page, shared: PanelPage) -> Iterator[PanelPage]:
    """The panel of a module's own notebook, which is its fixture ``shared``; no cell runs when the test has ended."""
    page.set_viewport_size({"width": 1100, "height": 1500})
    yield shared
    shared.end_cells()


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Where screenshots are kept, to be looked at."""
    PICTURES.mkdir(exist_ok=True)
    return PICTURES
