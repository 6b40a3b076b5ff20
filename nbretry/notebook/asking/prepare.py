"""Prepare a question: look up everything that it takes from the notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nbretry.session.options import Asked
from nbretry.session.question import Question
from nbretry.session.session import default_session
from nbretry.types import Content

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbretry.prompts.conversations import Conversation
    from nbretry.prompts.turn import Turn
    from nbretry.session.response_format import Schema

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question with everything that it takes from the notebook looked up.

    Attributes:
        asked: the options as they were typed; `prepare` fills in the session's defaults for format and context.
        question: the question to ask.
        conversation: the conversation that the question and its answer are added to.
        schema: the schema that JSON must fit.
        in_place_of: if a question is asked again, the turn of the conversation that this one replaces.
    """

    asked: Asked
    question: Question
    conversation: Conversation | None = None
    schema: Schema | None = None
    in_place_of: Turn | None = None


def prepare(
    shell: InteractiveShell, asked: Asked, namespace: Mapping[str, Any], in_place_of: Turn | None = None
) -> Prepared:
    """Look up what a question takes from the notebook.

    Args:
        shell: the user's shell.
        asked: the options and the prompt, as they were typed.
        namespace: the variables that ``{{ name }}`` and ``--schema`` can refer to.
        in_place_of: the turn of the conversation that is asked again.

    Raises:
        ConfigError: a variable does not exist, or cannot be sent.
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
        from nbretry.prompts.template import fill

        content = fill(content, namespace)
    is_empty = isinstance(content, str) and not content.strip()  # rejected later; context must not hide it
    if asked.context and not is_empty:
        from nbretry.notebook.cells.recorder import context_block

        block = context_block(shell, asked.context)
        content = f"{block}\n\n{content}" if isinstance(content, str) else [{"type": "text", "text": block}, *content]
    schema = None
    if asked.schema:
        from nbretry.session.response_format import schema_of

        schema = schema_of(asked.schema, namespace)
    question = replace(question, prompt=content)
    conversation = None
    if asked.conversation:
        conversation = session.conversations.open(asked.conversation)
        if not asked.new:
            system = conversation.system if question.system is None else question.system
            before = conversation.messages() if in_place_of is None else conversation.messages_before(in_place_of)
            question = replace(question, history=before, system=system)
    if asked.format is not None:
        from nbretry.session.response_format import in_format

        question = in_format(question, asked.format, schema)
    return Prepared(asked, question, conversation, schema, in_place_of)
