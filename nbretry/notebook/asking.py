"""Asking from IPython: one function behind the magic in both its forms, behind `ask` and behind the panel."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbretry.answer import Answer
from nbretry.deadlines import Deadlines
from nbretry.events import Event
from nbretry.notebook.awaiting import wakeful_loop
from nbretry.policy import OnBreak
from nbretry.session import Paint, Question, default_session
from nbretry.types import ProviderType

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["ANSWER_VARIABLE", "STOPPED", "ask", "ask_in_shell", "forget_shown", "remember_shown", "was_shown"]

ANSWER_VARIABLE = "_answer"
STOPPED = f"stopped; what there is of the answer is in {ANSWER_VARIABLE}"


async def ask(
    prompt: str,
    *,
    providers: Sequence[ProviderType | str] | None = None,
    model: str = "",
    system: str | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    on_break: OnBreak | None = None,
    hedge_after: float | str | None = None,
    deadlines: Deadlines | None = None,
    retries: int | None = None,
    max_cost: float | None = None,
) -> Answer:
    """``%%ask`` as a function: ``answer = await nbretry.ask("Why is the sky blue?")``.

    In a notebook the answer streams into the cell's output; elsewhere nothing is shown.

    Args:
        prompt: the question.
        providers: whom to ask in this order, by name or as objects; None for the session's own order.
        model: name of the model; empty for each provider's default.
        system: a system prompt.
        temperature: 0 to 2; None for the provider's default.
        max_tokens: the longest answer in tokens; None for the provider's default.
        on_break: what follows a stream that dies after content: ``restart``, ``continue`` or ``raise``.
        hedge_after: seconds without content, or a quantile as ``"p90"``, after which the next provider is asked beside.
        deadlines: limits of each attempt, in place of the session's.
        retries: how often one provider is asked again before the next.
        max_cost: US dollars; a request that would pass what is left of it is not sent.

    Raises:
        RetryProviderError: every provider failed; ``.answer`` has what there was.
        asyncio.CancelledError: the task was cancelled, or in a notebook the kernel was interrupted.
        RetryNoProviderError: there is nobody to ask.
        ConfigError: the question is empty, or a provider's name is unknown.
    """
    question = Question(
        prompt,
        providers,
        model,
        system,
        temperature,
        max_tokens,
        on_break,
        hedge_after,
        deadlines or Deadlines(),
        retries,
        max_cost,
    )
    return await ask_in_shell(_running_shell(), question)


async def ask_in_shell(shell: InteractiveShell | None, question: Question, into: str | None = None) -> Answer:
    """Ask, show the answer where this shell shows things, and keep it, however it ended, in the user's ``_answer``.

    Args:
        shell: the user's; None outside of IPython.
        question: what is asked.
        into: another variable for the answer.
    """
    session = default_session()
    kept: list[Answer] = []
    try:
        with wakeful_loop():
            await session.ask(question, _renderer(shell), kept.append)
    except asyncio.CancelledError as cancelled:
        # IPython shows it as one line; of its own class it has to stay, as asyncio.timeout looks for exactly that.
        cancelled._render_traceback_ = lambda: [f"CancelledError: {STOPPED}"]  # type: ignore[attr-defined]
        raise
    finally:
        if shell is not None and kept:
            shell.user_ns[ANSWER_VARIABLE] = kept[-1]
            if into:
                shell.user_ns[into] = kept[-1]
            remember_shown(kept[-1])
    return kept[-1]


_shown: list[object] = []
"""What the running cell has shown while it came, so that it is not shown again as the cell's value."""


def remember_shown(value: object) -> None:
    """The running cell has shown this answer or comparison."""
    _shown.append(value)


def was_shown(value: object) -> bool:
    """Whether the running cell has shown this answer or comparison already."""
    return any(value is shown for shown in _shown)


def forget_shown() -> None:
    """A new cell runs, in which nothing has been shown."""
    _shown.clear()


def _renderer(shell: InteractiveShell | None) -> Paint:
    if shell is None:
        return _paint_nothing
    if not hasattr(shell, "kernel"):
        from nbretry.renderers.console import ConsoleRenderer

        return ConsoleRenderer(sys.stdout, sys.stderr)
    from nbretry.notebook.output import CellOutput

    return CellOutput(shell)


def _paint_nothing(event: Event, answer: Answer) -> None:
    return


def _running_shell() -> InteractiveShell | None:
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    shell: InteractiveShell | None = get_ipython()
    return shell
