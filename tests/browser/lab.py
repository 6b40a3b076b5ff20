"""JupyterLab in Chromium: a server of its own, one page, and what a person does with a notebook there."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
from playwright.sync_api import Locator, Page, Response, expect, sync_playwright
from ports import free_port

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE = 60_000  # ms, for what a loaded machine is slow at
# Playwright's own limit for a claim is five seconds. That measures the machine: whatever is expected may take its time.
expect.set_options(timeout=PATIENCE)

LONGER_TEXT = """([index, length]) => {
  const cell = document.querySelectorAll('.jp-Notebook .jp-Cell')[index];
  const parts = [...cell.querySelectorAll('.nbretry-answer')];
  const text = parts.map(part => part.innerText).join(' ').replace(/\\s+/g, ' ').trim();
  return text.length > length && text;
}"""


def find_chromium() -> str | None:
    """The browser of this machine, if it has one."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if (path := shutil.which(name))), None)


@dataclass
class Server:
    """A JupyterLab that serves one directory."""

    url: str
    token: str
    root: Path

    def write(self, name: str, sources: list[str]) -> None:
        """Put a notebook of code cells there; the name may begin with a folder."""
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        (self.root / name).parent.mkdir(exist_ok=True)
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), self.root / name)

    def tell(self, word: str) -> None:
        """Say this word to the kernels, which wait for it with `told`."""
        (self.root / word).touch()

    def end_kernels(self) -> None:
        """End every kernel."""
        with urllib.request.urlopen(f"{self.url}/api/kernels?token={self.token}", timeout=PATIENCE / 1000) as answer:
            kernels = json.load(answer)
        for kernel in kernels:
            url = f"{self.url}/api/kernels/{kernel['id']}?token={self.token}"
            with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=PATIENCE / 1000):
                pass

    def set_theme(self, name: str) -> None:
        """Let pages that are opened from now on have this theme."""
        _write_settings(self.root.parent / "settings", "themes", {"theme": name})


def _write_settings(
    directory: Path, plugin: str, values: dict[str, object], extension: str = "apputils-extension"
) -> None:
    file = directory / "@jupyterlab" / extension / f"{plugin}.jupyterlab-settings"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values))


@contextmanager
def serve(directory: Path) -> Iterator[Server]:
    """Start JupyterLab on a free port of the loopback interface, and end it."""
    root = directory / "root"
    root.mkdir()
    _write_settings(directory / "settings", "notification", {"fetchNews": "false", "checkForUpdates": False})
    # After a second JupyterLab no longer waits for what a kernel has to say to a Tab, and shows nothing.
    _write_settings(directory / "settings", "manager", {"providerTimeout": PATIENCE}, "completer-extension")
    _write_settings(directory / "settings", "tracker", {"maxNumberOutputs": 10_000}, "notebook-extension")
    port = free_port()
    token = secrets.token_hex(16)
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"),
        *(f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}", "--ServerApp.port_retries=0"),
        # As for the kernels of `kernel.config`, which says why.
        f"--KernelManager.transport={'ipc' if sys.platform == 'linux' else 'tcp'}",
        *(
            f"--LabApp.user_settings_dir={directory / 'settings'}",
            f"--LabApp.workspaces_dir={directory / 'workspaces'}",
        ),
    ]
    private = {name: str(directory / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    with open(directory / "server.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **private})
    server = Server(f"http://127.0.0.1:{port}", token, root)
    try:
        _wait_until_up(server, process, directory / "server.log")
        yield server
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_up(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 3 * PATIENCE / 1000
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{server.url}/api/status?token={server.token}", timeout=PATIENCE / 1000):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


@contextmanager
def browser_page(width: int = 1100, height: int = 900) -> Iterator[Page]:
    """A page of a headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGUMENTS)
        try:
            page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=2)
            page.set_default_timeout(PATIENCE)
            yield page
        finally:
            browser.close()


def wait_until(page: Page, holds: Callable[[], bool]) -> None:
    """Wait for what no claim of Playwright's can wait for."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not holds():
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)


def wait_for_what_loads(page: Page) -> None:
    """Wait until whatever an answer would have loaded or run has had its turn."""
    # A picture that is asked for later fails later, and its handler is called behind those of an answer's pictures.
    page.evaluate(
        """async () => {
          await new Promise(done => {
            const picture = new Image();
            picture.onload = picture.onerror = done;
            picture.src = `/nothing-there-${Math.random()}`;
          });
          for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
        }"""
    )


class NotebookPage:
    """A notebook that is open in JupyterLab."""

    def __init__(self, page: Page, server: Server, name: str, wait_for_kernel: bool = True) -> None:
        self.page = page
        page.goto(f"{server.url}/doc/tree/{name}?token={server.token}&reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        if wait_for_kernel:
            page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()

    def cell(self, index: int) -> Locator:
        """A cell, counted from 0."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def output(self, index: int) -> Locator:
        """The outputs of a cell."""
        return self.cell(index).locator(".jp-OutputArea-output")

    def longer_text(self, index: int, than: str = "") -> str:
        """The text of a cell's answer so far, once it has more characters than this."""
        found: str = self.page.wait_for_function(LONGER_TEXT, arg=[index, len(than)]).json_value()
        return found

    def run(self, index: int) -> None:
        """Press Shift+Enter in a cell."""
        self.forget_number(index)
        self.cell(index).locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")

    def forget_number(self, index: int) -> None:
        """Take an execution number away that a cell has, so that the next one can be told from it."""
        # The next one may be the same, in a new kernel, and the star between them may be gone before it was seen.
        self.cell(index).locator(".jp-InputPrompt").evaluate("element => element.textContent = ''")

    def wait_until_idle(self, index: int) -> None:
        """Wait until a cell has an execution number, which it has once it has ended."""
        expect(self.cell(index).locator(".jp-InputPrompt")).to_have_text(re.compile(r"^\[\d+\]:$"), timeout=PATIENCE)

    def interrupt(self) -> None:
        """Press the toolbar's interrupt button."""
        self.page.locator(
            "jp-button[data-command='notebook:interrupt-kernel'], [data-jp-item-name=interrupt] button, "
            "[data-jp-item-name=interrupt] jp-button"
        ).first.click()

    def save(self) -> None:
        """Save the notebook; its file has been written when this returns."""
        # A page need not be marked as changed yet, so that no mark is no evidence.
        with self.page.expect_response(_is_saved):
            self.page.keyboard.press("Control+s")

    def screenshot(self, path: Path, first: int | None = None, last: int | None = None) -> None:
        """A picture of the page, or of the cells from ``first`` to ``last``."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if first is None:
            self.page.screenshot(path=path)
            return
        boxes = [self.cell(index).bounding_box() for index in range(first, (last or first) + 1)]
        found = [box for box in boxes if box]
        left, top = min(b["x"] for b in found), min(b["y"] for b in found)
        right, bottom = max(b["x"] + b["width"] for b in found), max(b["y"] + b["height"] for b in found)
        clip = {"x": left, "y": max(0, top - 6), "width": right - left, "height": bottom - top + 12}
        self.page.screenshot(path=path, clip=clip)


class ClassicPage(NotebookPage):
    """A notebook that is open in Notebook 7, which the same server serves."""

    def __init__(self, page: Page, server: Server, name: str) -> None:
        self.page = page
        page.goto(f"{server.url}/notebooks/{name}?token={server.token}")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        # What the page shows before its kernel has answered looks as it does after it.
        wait_until(page, lambda: self._kernel_is_idle(server, name))
        expect(page.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute(
            "data-status", "idle", timeout=PATIENCE
        )

    def _kernel_is_idle(self, server: Server, name: str) -> bool:
        url = f"{server.url}/api/sessions?token={server.token}"
        with urllib.request.urlopen(url, timeout=PATIENCE / 1000) as answer:
            sessions = json.load(answer)
        return any(one["path"] == name and one["kernel"]["execution_state"] == "idle" for one in sessions)


def _is_saved(answer: Response) -> bool:
    """Whether a server says that it has written a notebook."""
    return answer.request.method == "PUT" and ".ipynb" in answer.url and "/api/contents/" in answer.url and answer.ok
