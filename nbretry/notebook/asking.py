"""Asking from IPython: one function behind the magic in both its forms, behind `ask` and behind the panel."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TextIO

from nbretry.answer import Answer
from nbretry.deadlines import Deadlines
from nbretry.events import Event
from nbretry.notebook.awaiting import wakeful_loop
from nbretry.options import Asked
from nbretry.policy import OnBreak
from nbretry.session import Paint, Question, default_session
from nbretry.types import Content, Format, ProviderType

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbretry.conversations import Conversation
    from nbretry.formats import Schema

__all__ = [
    "ANSWERS_VARIABLE",
    "ANSWER_VARIABLE",
    "STOPPED",
    "Prepared",
    "ask",
    "ask_in_shell",
    "ask_prepared",
    "forget_shown",
    "keep_in_shell",
    "prepare",
    "remember_shown",
    "renderer",
    "was_shown",
]

ANSWER_VARIABLE = "_answer"
ANSWERS_VARIABLE = "_answers"
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
    prepared = Prepared(Asked(question), question)
    answer: Answer = await ask_in_shell(_running_shell(), prepared)
    return answer


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a cell asks, once everything that it takes from the notebook has been looked up.

    Attributes:
        asked: the options as they were typed.
        question: what is asked.
        conversation: what the question and its answer become part of.
        schema: the form that JSON must have.
    """

    asked: Asked
    question: Question
    conversation: Conversation | None = None
    schema: Schema | None = None


def prepare(shell: InteractiveShell, asked: Asked, namespace: Mapping[str, Any]) -> Prepared:
    """Look up what a question takes from the notebook.

    Args:
        shell: the user's.
        asked: the options and the prompt, as they were typed.
        namespace: the variables that ``{{ name }}`` and ``--schema`` mean.

    Raises:
        ConfigError: there is no such variable, or it cannot be sent.
    """
    session = default_session()
    asked = replace(
        asked,
        format=asked.format or session.setting("format").value,
        context=session.setting("context").value if asked.context is None else asked.context,
    )
    if asked.compare is not None or asked.format == "markdown":  # a comparison has several answers
        asked = replace(asked, format=None)
    question = asked.question
    content: Content = question.prompt
    if isinstance(content, str) and not asked.raw and "{{" in content:
        from nbretry.template import fill

        content = fill(content, namespace)
    is_empty = isinstance(content, str) and not content.strip()  # which whoever asks is told
    if asked.context and not is_empty:
        from nbretry.notebook.cells import context_block

        block = context_block(shell, asked.context)
        content = f"{block}\n\n{content}" if isinstance(content, str) else [{"type": "text", "text": block}, *content]
    schema = None
    if asked.schema:
        from nbretry.formats import schema_of

        schema = schema_of(asked.schema, namespace)
    question = replace(question, prompt=content)
    conversation = None
    if asked.conversation:
        conversation = session.conversations.open(asked.conversation)
        if not asked.new:
            system = conversation.system if question.system is None else question.system
            question = replace(question, history=conversation.messages(), system=system)
    if asked.format is not None:
        from nbretry.formats import in_format

        question = in_format(question, asked.format, schema)
    return Prepared(asked, question, conversation, schema)


async def ask_in_shell(shell: InteractiveShell | None, prepared: Prepared) -> Any:
    """Ask, show the answer where this shell shows things, and keep it, however it ended, in the user's ``_answer``.

    Args:
        shell: the user's; None outside of IPython.
        prepared: what is asked.

    Returns:
        The `Answer`, or what its format makes of it.
    """
    asked = prepared.asked

    def keep(answer: Answer) -> None:
        if shell is not None:
            keep_in_shell(shell, answer, asked.into)
            remember_shown(answer)

    if asked.new and prepared.conversation is not None:
        default_session().events(prepared.question)  # raises now what the user has to mend: nothing is forgotten for it
        prepared.conversation.clear()
    try:
        with wakeful_loop():
            value = await ask_prepared(shell, prepared, lambda: renderer(shell, asked.format or "markdown"), keep)
            if asked.format is not None and shell is not None and asked.into:
                shell.user_ns[asked.into] = value
            return value
    except asyncio.CancelledError as cancelled:
        # IPython shows it as one line; of its own class it has to stay, as asyncio.timeout looks for exactly that.
        cancelled._render_traceback_ = lambda: [f"CancelledError: {STOPPED}"]  # type: ignore[attr-defined]
        raise


async def ask_prepared(
    shell: InteractiveShell | None,
    prepared: Prepared,
    new_renderer: Callable[[], Paint],
    keep: Callable[[Answer], None],
    tell: Callable[[str], None] | None = None,
) -> Any:
    """Ask, again where the answer is not in its format, and let the conversation go on with it, however it ended.

    Args:
        shell: the user's; None outside of IPython.
        prepared: what is asked.
        new_renderer: gives what paints one run.
        keep: is handed each run's answer.
        tell: shows a line of text; in the running cell by default.

    Returns:
        The `Answer`, or what its format makes of it.
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
        from nbretry.notebook.formatting import ask_in_format

        return await ask_in_format(shell, prepared, ask_once, tell)
    finally:
        if conversation is not None and kept:
            # Of answers that had to be given again the last one counts, and the system prompt as the user wrote it.
            conversation.add(replace(prepared.question, system=prepared.asked.question.system), kept[-1])


def keep_in_shell(shell: InteractiveShell, answer: Answer, into: str | None = None) -> None:
    """Put an answer into the user's variables.

    Args:
        shell: the user's.
        answer: becomes ``_answer``, and the last of ``_answers``.
        into: another variable for it.
    """
    from nbretry.notebook.answers import Answers, show_in

    shell.user_ns[ANSWER_VARIABLE] = answer
    shell.user_ns[ANSWERS_VARIABLE] = Answers(default_session().answers)
    if into:
        shell.user_ns[into] = answer
    show_in(shell)


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


def renderer(shell: InteractiveShell | None, output_format: Format = "markdown") -> Paint:
    """What paints a run where a shell shows things.

    Args:
        shell: the user's; None to paint nothing.
        output_format: what the answer is to be.
    """
    if shell is None:
        return _paint_nothing
    if not hasattr(shell, "kernel"):
        if output_format in ("markdown", "code") and _can_be_painted_on(sys.stdout):
            from nbretry.renderers.terminal import TerminalRenderer

            return TerminalRenderer(sys.stdout)
        from nbretry.renderers.console import ConsoleRenderer

        return ConsoleRenderer(sys.stdout, sys.stderr)
    from nbretry.notebook.output import CellOutput

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
