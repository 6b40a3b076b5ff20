"""The setting `paint`: whether a cell shows its answer while it comes, or once."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from kernel import Kernel, Ran, says

REPLACED = re.compile(r"\d+(\.\d+)? m?s\b|data:image/svg[^\"]*")


@pytest.fixture
def once(nb: Kernel) -> Iterator[Kernel]:
    nb.run("%nbretry reset\n%nbretry config paint once")
    yield nb
    nb.run("%nbretry config --unset paint")


def kinds(ran: Ran) -> list[str]:
    """The kinds of messages that change what is shown."""
    shows = ("display_data", "update_display_data", "clear_output", "error")
    return [message["msg_type"] for message in ran.messages if message["msg_type"] in shows]


def shown(ran: Ran) -> list[dict[str, str]]:
    """What the outputs show, without times."""
    return [{k: REPLACED.sub("…", v) for k, v in o.data.items()} for o in ran.outputs if "data" in o]


@pytest.mark.parametrize("options", ["-p dead,echo", "-p dead", "--compare echo,dead"])
def test_once_shows_the_same(once: Kernel, options: str) -> None:
    """Painted once, a cell shows at its end what it shows live, and nothing that is taken back."""
    source = f"%%ask {options}\nWhy?"
    painted = once.run(source)
    assert {"update_display_data", "clear_output"}.isdisjoint(kinds(painted))
    assert len(kinds(painted)) == len(painted.outputs)
    once.run("%nbretry reset\n%nbretry config --unset paint")
    live = once.run(source)
    assert len(kinds(live)) > len(live.outputs)
    assert shown(painted) == shown(live)
    assert painted.failed == live.failed == (options == "-p dead")


TELLING = """
class Telling:
    async def create_async_generator(self, model, messages, **options):
        yield "Some text."
        print("said")
        await asyncio.sleep(60)

nbretry.register("telling", Telling())
"""


def test_a_stopped_answer_is_painted(once: Kernel) -> None:
    """What had come when the kernel was interrupted is shown, though nothing was before."""
    once.run(TELLING)
    stopped = once.run("%%ask -p telling\nWhy?", interrupt_when=says("said"))
    assert stopped.failed
    assert "update_display_data" not in kinds(stopped)
    assert stopped.answer == "Some text."
    assert "stopped · telling" in stopped.plain
