"""What Binder does with a repository, step by step: the steps of repo2docker's Python build, without its container.

Binder takes the Python of ``binder/runtime.txt``, copies the repository into the home directory of its user, installs
``binder/requirements.txt`` with pip there, executes ``binder/postBuild`` there, and starts JupyterLab whenever somebody
comes. The one difference is what lies below: Binder installs into an environment that has Jupyter in it already.
"""

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
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import websocket
from ports import free_port
from unable import unable

ROOT = Path(__file__).parents[2]

INSTALLING = 900.0
"""Seconds that pip may take to download and install everything."""

PATIENCE = 120.0
"""Seconds for anything else that a loaded machine is slow at."""

BASE_URL = "/user/somebody/"

BINDERHUB = (
    "jupyter-lab",
    "--ip=127.0.0.1",
    "--port={port}",
    f"--NotebookApp.base_url={BASE_URL}",
    "--NotebookApp.token={token}",
    "--NotebookApp.trust_xheaders=True",
    f"--ServerApp.base_url={BASE_URL}",
    "--ServerApp.token={token}",
    "--ServerApp.trust_xheaders=True",
)
"""How BinderHub starts the server, but for the address: a container's port is open to its proxy."""

REPO2DOCKER = (
    "jupyter",
    "notebook",
    "--ip=127.0.0.1",
    "--port={port}",
    f"--ServerApp.base_url={BASE_URL}",
    "--ServerApp.token={token}",
    "--ServerApp.default_url=/lab",
)
"""How repo2docker itself starts it on somebody's own machine."""

_PIP_FILES = (".config/pip/pip.conf", ".pip/pip.conf")

_INHERITED = ("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR", "TZ")


@dataclass
class Image:
    """What has been built.

    Attributes:
        home: the user's home directory, which is the root of the repository as well.
        prefix: the environment into which everything is installed.
    """

    home: Path
    prefix: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables that everything in it has; none of whoever runs the tests, so no key and no cache of theirs."""
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        path = os.pathsep.join((str(self.prefix / "bin"), os.environ.get("PATH", os.defpath)))
        return {**inherited, "HOME": str(self.home), "PATH": path, "LANG": "C.UTF-8", "SHELL": "/bin/bash"}

    def build(self) -> None:
        """Take all steps.

        Raises:
            AssertionError: a step failed; the end of what it printed is in the message.
        """
        self.home.mkdir()
        for file in tracked_files():
            target = self.home / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, target)
        for name in _PIP_FILES:  # a mirror that somebody has set up is how they reach an index at all
            if (Path.home() / name).is_file():
                (self.home / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(Path.home() / name, self.home / name)
        # Compiling what is never imported is a third of an installation's time, and the pip that Python brings is slow.
        online = {**_network_settings(), "PIP_COMPILE": "0"}
        python, pip = find_python(python_version()), str(self.prefix / "bin" / "pip")
        self._step([python, "-m", "venv", "--without-pip", str(self.prefix)])
        inside = str(self.prefix / "bin" / "python")
        self._step([sys.executable, "-m", "pip", "--python", inside, "install", "pip"], online, INSTALLING)
        self._step([pip, "install", "--no-cache-dir", "-r", "binder/requirements.txt"], online, INSTALLING)
        (self.home / "binder" / "postBuild").chmod(0o755)
        self._step(["./binder/postBuild"], online, INSTALLING)

    def run(self, *command: str) -> str:
        """What a command in the image prints.

        Raises:
            AssertionError: it failed.
        """
        return self._step([self._program(command[0]), *command[1:]])

    def _program(self, name: str) -> str:
        found = self.prefix / "bin" / name
        assert found.exists(), f"there is no {name} in the image"
        return str(found)

    def _step(self, command: Sequence[str], more: Mapping[str, str] | None = None, timeout: float = PATIENCE) -> str:
        started = time.monotonic()
        process = subprocess.run(
            command,
            cwd=self.home,
            env={**self.environment, **(more or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            text=True,
            check=False,
        )
        print(f"{time.monotonic() - started:5.1f} s: {' '.join(command)}")
        assert process.returncode == 0, f"{' '.join(command)} failed:\n{process.stdout[-3000:]}"
        return process.stdout

    @contextmanager
    def serve(self, command: Sequence[str] = BINDERHUB) -> Iterator[Server]:
        """Start the server as it is started when somebody comes, with no package index within reach; and end it."""
        port, token = free_port(), secrets.token_hex(16)
        arguments = [argument.format(port=port, token=token) for argument in command]
        arguments += ["--no-browser", "--ServerApp.port_retries=0"]  # there is no browser in a container
        if os.geteuid() == 0:
            arguments.append("--allow-root")
        log = self.home.with_name(f"server-{port}.log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [self._program(command[0]), *arguments[1:]],
                cwd=self.home,
                env={**self.environment, **_no_network()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        server = Server(f"http://127.0.0.1:{port}{BASE_URL}", token)
        try:
            server.wait_until_up(process, log)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass
class Page:
    """A page, and where one has landed for it."""

    path: str
    text: str

    @property
    def settings(self) -> dict[str, Any]:
        """With what JupyterLab starts in the browser when this page is loaded.

        Raises:
            AssertionError: the page is none of JupyterLab's.
        """
        found = re.search(r'<script id="jupyter-config-data" type="application/json">(.*?)</script>', self.text, re.S)
        assert found, f"{self.path} is no page of JupyterLab:\n{self.text[:500]}"
        settings: dict[str, Any] = json.loads(found[1])
        return settings

    @property
    def opened(self) -> str:
        """The file that JupyterLab opens when this page is loaded."""
        return str(self.settings["treePath"])


@dataclass
class Server:
    """A Jupyter server, as a browser or an extension of it would speak to it."""

    url: str
    token: str

    def get(self, path: str) -> Page:
        """A page, after all redirections, for somebody who has the token as Binder gives it: in the address."""
        query = urllib.parse.urlencode({"token": self.token})
        cookies = urllib.request.HTTPCookieProcessor()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)
        with opener.open(f"{self.url}{path}?{query}", timeout=PATIENCE) as response:
            return Page(urllib.parse.urlsplit(response.url).path, response.read().decode())

    def call(self, path: str, method: str = "GET", body: Mapping[str, Any] | None = None) -> Any:
        """What a path of the server's interface answers."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=PATIENCE) as response:
            text = response.read()
        return json.loads(text) if text else None

    def wait_until_up(self, process: subprocess.Popen[bytes], log: Path) -> None:
        """Wait until it answers.

        Raises:
            AssertionError: it ended, or takes too long; the end of its log is in the message.
        """
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            try:
                self.call("api/status")
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
            else:
                return
        raise AssertionError(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")

    @contextmanager
    def kernel(self, notebook: str) -> Iterator[Kernel]:
        """A kernel for a notebook, started as JupyterLab starts one when the notebook is opened; and end it."""
        body = {"path": notebook, "name": notebook, "type": "notebook", "kernel": {"name": "python3"}}
        session = self.call("api/sessions", "POST", body)
        try:
            address = f"{self.url.replace('http', 'ws', 1)}api/kernels/{session['kernel']['id']}/channels"
            header = [f"Authorization: token {self.token}"]
            with closing(websocket.create_connection(address, PATIENCE, header=header, http_no_proxy=["*"])) as socket:
                yield Kernel(socket)
        finally:
            self.call(f"api/sessions/{session['id']}", "DELETE")


@dataclass
class Ran:
    """How a cell ended: ``ok`` or ``error``, what it printed, and its error in one line."""

    status: str
    printed: str
    error: str


@dataclass
class Kernel:
    """A kernel at the other end of a connection."""

    connection: websocket.WebSocket

    def run(self, source: str) -> Ran:
        """Run a cell until it has ended and all of its output is there."""
        number = secrets.token_hex(16)
        header = {"msg_id": number, "msg_type": "execute_request", "session": number, "username": "", "version": "5.3"}
        content = {"code": source, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True}
        message = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content}
        self.connection.send(json.dumps(message))
        reply: dict[str, Any] = {}
        printed, idle = "", False
        while not (reply and idle):
            message = json.loads(self.connection.recv())
            if message["parent_header"].get("msg_id") != number:
                continue
            content = message["content"]
            match message["header"]["msg_type"]:
                case "stream":
                    printed += content["text"]
                case "status":
                    idle = content["execution_state"] == "idle"
                case "execute_reply":
                    reply = content
        return Ran(reply["status"], printed, f"{reply.get('ename', '')}: {reply.get('evalue', '')}")


def tracked_files() -> list[Path]:
    """The files that Binder would get: those of the repository as they are here, and nothing else that lies beside."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        unable("Binder builds from a git repository, and this is none")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [Path(name) for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def python_version() -> str:
    """The version in ``binder/runtime.txt``.

    Raises:
        AssertionError: it is not written as repo2docker reads it.
    """
    text = (ROOT / "binder" / "runtime.txt").read_text().strip()
    found = re.fullmatch(r"python-(\d+\.\d+)", text)
    assert found, f"binder/runtime.txt says {text!r}; it has to be python-X.Y"
    return found[1]


def find_python(version: str) -> str:
    """A Python of this version where the machine has one, else the one that runs the tests."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    found = shutil.which(f"python{version}")
    if found:  # a version manager leaves commands that only say how to install the real ones
        process = subprocess.run([found, "-c", asked], capture_output=True, text=True, check=False)
        if process.stdout.strip() == version:
            return found
    return sys.executable


def _network_settings() -> dict[str, str]:
    """How whoever runs the tests reaches a package index."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.lower().endswith("_proxy") or (name.startswith("PIP_") and name != "PIP_REQUIRE_VIRTUALENV")
    }


def _no_network() -> dict[str, str]:
    """Variables with which neither pip nor anything else that keeps to a proxy reaches more than this machine."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    proxies = {
        name: nowhere for kind in ("http", "https", "all") for name in (f"{kind}_proxy", f"{kind.upper()}_PROXY")
    }
    local = dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost")
    return {**proxies, **local, "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"{nowhere}/simple", "PIP_RETRIES": "0"}
