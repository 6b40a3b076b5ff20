"""Ask from IPython: the functions that ``%%ask``, ``%ask``, `nbretry.ask` and the panel share."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

from nbretry.answer import Answer
from nbretry.events import Event
from nbretry.notebook.asking.prepare import Prepared
from nbretry.notebook.asking.user_variables import ANSWER_VARIABLE, keep_in_shell, remember_shown, show_in
from nbretry.notebook.kernel.awaited_cells import shown_as, wakeful_loop
from nbretry.retry.deadlines import Deadlines
from nbretry.retry.policy import OnBreak
from nbretry.session.options import Asked
from nbretry.session.question import Question
from nbretry.session.runs import Paint
from nbretry.session.session import default_session
from nbretry.types import Format, ProviderType

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["STOPPED", "ask", "ask_in_shell", "ask_prepared", "renderer"]

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
    """Ask from Python, as ``%%ask`` does: ``answer = await nbretry.ask("Why is the sky blue?")``.

    In IPython the answer is shown while it streams, in a notebook in the cell's output. Outside of IPython nothing is
    shown.

    Args:
        prompt: the question.
        providers: the providers to ask, in this order, as ``name``, ``name:model`` or objects; None for the session's
            own order.
        model: name of the model; empty for each provider's default.
        system: a system prompt.
        temperature: 0 to 2; None for the provider's default.
        max_tokens: the longest answer in tokens; None for the provider's default.
        on_break: what to do if a stream breaks off after content: ``restart``, ``continue`` or ``raise``.
        hedge_after: start the next provider in parallel after this many seconds without content, or after a quantile
            such as ``"p90"``.
        deadlines: time limits of each attempt; a limit that is None is taken from the session.
        retries: how often to retry one provider before falling back to the next.
        max_cost: US dollars; a request that would exceed what is left of this budget is not sent.

    Raises:
        RetryProviderError: every provider failed; ``.answer`` has the partial answer.
        asyncio.CancelledError: the task was cancelled, or in a notebook the kernel was interrupted.
        RetryNoProviderError: there is no provider to ask.
        ConfigError: the question is empty, or a provider's name is unknown.

    Example:
        >>> import nbretry
        >>> from nbretry.testing import simulate
        >>> answer = await nbretry.ask("Anybody there?", providers=[simulate("'Hello' ' world'")])
        Hello world
        ...
        >>> answer.provider, answer.state
        ('simulated', 'completed')
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
    prepared = Prepared(Asked(question), question)
    answer: Answer = await ask_in_shell(_running_shell(), prepared)
    return answer


async def ask_in_shell(shell: InteractiveShell | None, prepared: Prepared) -> Any:
    """Ask, show the answer in this shell, and keep it in the user's ``_answer``, however the run ended.

    Args:
        shell: the user's shell; None outside of IPython.
        prepared: the question and its options.

    Returns:
        The `Answer`, or the value that its format makes of it.
    """
    asked = prepared.asked

    def keep(answer: Answer) -> None:
        if shell is not None:
            keep_in_shell(shell, answer, asked.into)
            show_in(shell)
            remember_shown(answer)

    if asked.new and prepared.conversation is not None:
        default_session().events(prepared.question)  # raises what the user must fix before anything is forgotten
        prepared.conversation.clear()
    try:
        with wakeful_loop():
            value = await ask_prepared(shell, prepared, lambda: renderer(shell, asked.format or "markdown"), keep)
            if asked.format is not None and shell is not None and asked.into:
                shell.user_ns[asked.into] = value
            return value
    except asyncio.CancelledError as cancelled:
        shown_as(cancelled, STOPPED)
        raise


async def ask_prepared(
    shell: InteractiveShell | None,
    prepared: Prepared,
    new_renderer: Callable[[], Paint],
    keep: Callable[[Answer], None],
    tell: Callable[[str], None] | None = None,
) -> Any:
    """Ask, ask again if the answer is not in its format, and add the last answer to the conversation.

    The answer is added however its run ended.

    Args:
        shell: the user's shell; None outside of IPython.
        prepared: the question and its options.
        new_renderer: returns the renderer for one run.
        keep: called with the answer of each run.
        tell: shows a line of text; in the running cell by default.

    Returns:
        The `Answer`, or the value that its format makes of it.
    """
    conversation = prepared.conversation
    kept: list[Answer] = []

    def keep_both(answer: Answer) -> None:
        kept.append(answer)
        keep(answer)

    async def ask_once(question: Question) -> Answer:
        return await default_session().ask(question, new_renderer(), keep_both)

    try:
        if prepared.asked.format is None or shell is None:
            return await ask_once(prepared.question)
        from nbretry.notebook.asking.in_format import ask_in_format

        return await ask_in_format(shell, prepared, ask_once, tell)
    finally:
        if conversation is not None and kept:
            # If the question was asked again, the last answer counts, with the system prompt as the user wrote it.
            question = replace(prepared.question, system=prepared.asked.question.system)
            conversation.add(question, kept[-1], prepared.in_place_of)


def renderer(shell: InteractiveShell | None, output_format: Format = "markdown") -> Paint:
    """Return the renderer for a run: for the terminal, the console or the cell's output.

    Args:
        shell: the user's shell; None to paint nothing.
        output_format: the format that the answer should have.
    """
    if shell is None:
        return _paint_nothing
    if not hasattr(shell, "kernel"):
        if output_format in ("markdown", "code") and _can_be_painted_on(sys.stdout):
            from nbretry.renderers.terminal import TerminalRenderer

            return TerminalRenderer(sys.stdout)
        from nbretry.renderers.console import ConsoleRenderer

        return ConsoleRenderer(sys.stdout, sys.stderr)
    from nbretry.notebook.output.cell_output import CellOutput

    return CellOutput(shell, output_format=output_format)


def _can_be_painted_on(out: TextIO) -> bool:
    return out.isatty() and os.environ.get("TERM", "") != "dumb"


def _paint_nothing(event: Event, answer: Answer) -> None:
    return


def _running_shell() -> InteractiveShell | None:
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    shell: InteractiveShell | None = get_ipython()
    return shell
