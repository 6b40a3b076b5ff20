"""JupyterLab and Chromium for the tests of what a person sees."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from lab import Server, browser_page, find_chromium, serve
from playwright.sync_api import Page

PICTURES = Path(__file__).parents[2] / "test-output"

PROVIDERS = '''
%load_ext nbretry
import asyncio, nbretry
from nbretry.errors import APIConnectionError
from nbretry.providers import OpenAIProvider

class Provider:
    def __init__(self, text, delay=0.0):
        self.words, self.delay = [word + " " for word in text.split(" ")], delay

    async def create_async_generator(self, model, messages, **options):
        for word in self.words:
            await asyncio.sleep(self.delay)
            yield word

nbretry.register("nobody-there", OpenAIProvider(base_url="http://127.0.0.1:9/v1", api_key="none", model="any"))
nbretry.register("slow", Provider(" ".join(f"word{i}" for i in range(500)), delay=0.02))
nbretry.register("hostile", Provider("""Before.
<script>window.hostile = 1</script> <img src=x onerror="window.hostile = 2">
![picture](http://remote.invalid/pixel.png) [link](javascript:window.hostile=3)
[other](java&#115;cript:window.hostile=4) <javascript:window.hostile=5> [third][x]

[x]: javascript:window.hostile=6

<style>body { display: none }</style> <div style="position:fixed;inset:0">cover</div>
After."""))
'''


@pytest.fixture(scope="session", autouse=True)
def chromium() -> str:
    """The browser; without one these tests are skipped, except in CI, where they may not be."""
    found = find_chromium()
    if found is None:
        reason = "THE BROWSER TESTS DID NOT RUN: there is no Chromium (Debian: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="session")
def session_page(chromium: str) -> Iterator[Page]:
    with browser_page() as page:
        yield page


@pytest.fixture
def page(session_page: Page, server: Server) -> Page:
    """The session's page, at its first size and in the light theme."""
    session_page.set_viewport_size({"width": 1100, "height": 900})
    server.set_theme("JupyterLab Light")
    return session_page


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Where screenshots are kept, to be looked at."""
    PICTURES.mkdir(exist_ok=True)
    return PICTURES
