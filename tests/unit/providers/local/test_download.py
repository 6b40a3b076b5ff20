"""How a download is shown; what pip does and how it fails is in `test_model.py`."""

from __future__ import annotations

import importlib
import io

from nbretry.providers.local.download import progress_bar


def test_progress_without_a_terminal_is_a_line_for_each_quarter() -> None:
    """Where the stream is no terminal, a fetch of a hundred steps is told in five lines, and none before it began."""
    out = io.StringIO()
    with progress_bar("fetching", out) as tell:
        assert out.getvalue() == ""
        for step in range(101):
            tell(step * 1_000_000, 100_000_000)
    assert out.getvalue().splitlines() == [f"fetching: {done} of 100 MB" for done in (0, 25, 50, 75, 100)]


def test_progress_without_a_total_still_tells() -> None:
    """Where the size is not known, the lines say how much has come."""
    out = io.StringIO()
    with progress_bar("fetching", out) as tell:
        for step in range(61):
            tell(step * 1_000_000, None)
    assert out.getvalue().splitlines() == ["fetching: 0 MB", "fetching: 25 MB", "fetching: 50 MB"]


def test_progress_in_a_terminal_is_a_bar() -> None:
    """In a terminal the progress is one bar that comes to its end, and an unused one draws nothing."""
    importlib.import_module("tqdm")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    with progress_bar("fetching", out):
        pass
    assert out.getvalue() == ""
    with progress_bar("fetching", out) as tell:
        tell(0, 100)
        tell(50, 100)
        tell(100, 100)
    last = out.getvalue().split("\r")[-1]
    assert last.startswith("fetching: 100%")
