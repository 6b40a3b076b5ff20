"""The answer is seen growing, at a cost that stays proportional to it, while the kernel goes on."""

from __future__ import annotations

import itertools

from kernel import Kernel


def test_tokens_are_shown_as_they_come(nb: Kernel) -> None:
    """Before the cell ends the answer is painted several times, each time longer by what has come since."""
    ran = nb.run("%%ask -p steady\nCount.")
    states = ran.repaints()
    final = " ".join(f"word{i}" for i in range(20))
    assert states[-1] == final
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(states))
    assert len(set(states)) >= 4
    assert ran.times[-1] - ran.arrived(states[0]) > 0.25, "the first state came only with the end of the cell"


def test_saved_cell_holds_the_answer_once(nb: Kernel) -> None:
    """However often it was painted, the saved cell has one output with the answer and one with the report."""
    ran = nb.run("%%ask -p dead,steady\nCount.")
    assert len(ran.repaints()) > 2
    assert [sorted(output.data) for output in ran.outputs] == [
        ["text/html", "text/markdown", "text/plain"],
        ["text/html", "text/plain"],
    ]


def test_status_is_shown_before_the_first_token(nb: Kernel) -> None:
    """Until the first token comes, the place of the answer says who is being asked and who has failed."""
    ran = nb.run("%%ask -p dead,steady\nCount.")
    states = [message["content"].get("data", {}).get("text/plain") for message in ran.messages]
    states = [state for state in states if state]
    assert states[0] == "asking dead …"
    assert "✗ dead: APIConnectionError: nobody listens\nasking steady …" in states


def test_fast_tokens_make_few_messages(nb: Kernel) -> None:
    """Two thousand tokens that come at once are painted a few times, not two thousand."""
    ran = nb.run("%%ask -p fast\nCount.")
    answer = "".join(f"tok{i % 10} " for i in range(2000))
    print(f"\n2,000 tokens at once: {len(ran.messages)} messages, {ran.size()} bytes, answer of {len(answer)} bytes")
    assert ran.repaints()[-1] == answer.strip()
    assert len(ran.messages) <= 30
    assert ran.size() <= 15 * len(answer)


def test_steady_tokens_are_repainted_in_proportion(nb: Kernel) -> None:
    """Two thousand tokens over seconds cost at most ten repaints a second, and little more than the answer."""
    ran = nb.run("%%ask -p busy\nCount.")
    answer = "".join(f"tok{i % 10} " for i in range(2000))
    took = ran.times[-1] - ran.times[0]
    print(f"\n2,000 tokens in {took:.1f} s: {len(ran.messages)} messages, {ran.size()} bytes")
    assert ran.repaints()[-1] == answer.strip()
    assert len(ran.repaints()) <= took / 0.1 + 20
    assert ran.size() < 20 * len(answer)


def test_pause_leaves_nothing_unpainted(nb: Kernel) -> None:
    """What has come before a pause is painted in the pause, without waiting for the next token."""
    ran = nb.run("%%ask -p pausing\nCount.")
    assert ran.arrived("one two three") - ran.arrived("one two") > 0.3


def test_kernel_goes_on_while_a_cell_asks(nb: Kernel) -> None:
    """A background task of the notebook makes progress while an awaited cell streams."""
    nb.run("""
ticks = []
async def tick():
    while len(ticks) < 500:
        ticks.append(_answer_state())
        await asyncio.sleep(0.01)
def _answer_state():
    return Book.opened - Book.closed
ticking = asyncio.create_task(tick())""")
    assert not nb.run("%%ask -p steady\nCount.").failed
    assert nb.value("ticks.count(1)") > 10, "the task saw no moment at which the stream was open"
    nb.run("ticking.cancel()")
