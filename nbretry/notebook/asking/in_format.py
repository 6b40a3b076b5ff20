"""Ask for an answer in a format: code for the next cell, or JSON, and ask again if the JSON is not valid."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from nbretry._utils.redaction import mask
from nbretry.answer import Answer
from nbretry.errors import AnswerFormatError
from nbretry.prompts.messages import build_messages
from nbretry.renderers.tables import line_html
from nbretry.session.question import Question

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbretry.notebook.asking.prepare import Prepared
    from nbretry.session.response_format import Schema

__all__ = ["ask_in_format"]

_ASKED_AGAIN = 2
"""How often to ask again for JSON if ``--retries`` does not set it."""


async def ask_in_format(
    shell: InteractiveShell,
    prepared: Prepared,
    ask_once: Callable[[Question], Awaitable[Answer]],
    tell: Callable[[str], None] | None = None,
) -> Any:
    """Ask, and turn the answer into what its format calls for.

    Args:
        shell: the user's shell.
        prepared: the question and its format.
        ask_once: asks a question and shows the answer.
        tell: shows a line of text; in the running cell by default.

    Returns:
        For ``json`` the checked value, otherwise the `Answer`. For ``code``, the code is also put into the next cell of
        the notebook.

    Raises:
        AnswerFormatError: the answer is not valid JSON or does not fit the schema, even when asked again.
        Exception: whatever ``ask_once`` raises.
    """
    tell = tell or partial(_tell, shell)
    if prepared.asked.format == "json":
        return await _ask_for_json(prepared, ask_once, tell)
    answer = await ask_once(prepared.question)
    if prepared.asked.format == "code":
        code = mask(answer.code)
        if code.strip():
            shell.set_next_input(code)
        else:
            tell("the answer has no code, so no cell is made of it")
    return answer


async def _ask_for_json(
    prepared: Prepared, ask_once: Callable[[Question], Awaitable[Answer]], tell: Callable[[str], None]
) -> Any:
    asked = prepared.question
    again = _ASKED_AGAIN if asked.retries is None else asked.retries
    question = replace(asked, retries=None)
    for number in range(1, again + 2):
        answer = await ask_once(question)
        try:
            return _value_of(answer, prepared.schema)
        except AnswerFormatError as error:
            mistake = str(error)
        if number <= again:
            tell(f"{mistake} – asked again, {number} of {again}")
            question = _question_after(question, answer, mistake)
    times = f" (asked {again + 1} times)" if again else ""
    raise AnswerFormatError(f"{mistake}{times}", answer=answer)


def _value_of(answer: Answer, schema: Schema | None) -> Any:
    try:
        value = answer.json()
    except AnswerFormatError as error:
        cut_off = "; it ended at its token limit" if answer.finish_reason == "length" else ""
        raise AnswerFormatError(f"{error}{cut_off}") from None
    if schema is None:
        return value
    try:
        return schema.check(value)
    except AnswerFormatError as error:
        raise AnswerFormatError(f"the answer does not fit {schema.name}: {error}") from None


def _question_after(question: Question, answer: Answer, mistake: str) -> Question:
    """Return the question that continues from an answer in the wrong format and asks to correct it."""
    said = build_messages(question.prompt, None, question.history)
    left = None if question.max_cost is None else max(0.0, question.max_cost - (answer.cost or 0.0))
    return replace(
        question,
        prompt=f"This cannot be used: {mistake}. Answer again, with the corrected JSON only.",
        history=[*said, {"role": "assistant", "content": answer.text}],
        max_cost=left,
    )


def _tell(shell: InteractiveShell, line: str) -> None:
    if hasattr(shell, "kernel"):
        shell.display_pub.publish({"text/html": line_html(line), "text/plain": line})
    else:
        print(line, file=sys.stderr, flush=True)  # noqa: T201 (beside the report)
