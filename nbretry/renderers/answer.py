"""Render answers that were not shown while they streamed: one answer in full, or several as a table."""

from __future__ import annotations

from collections.abc import Sequence

from nbretry._utils.redaction import mask
from nbretry._utils.text import one_line
from nbretry.answer import Answer
from nbretry.renderers.by_format import bundle_of
from nbretry.renderers.painter import in_one_block
from nbretry.renderers.reasoning import reasoning_html, reasoning_text
from nbretry.renderers.report import report_html, report_text, seconds
from nbretry.renderers.tables import block_html, table_html, table_text

__all__ = ["answer_bundle", "answers_html", "answers_text"]

_HEADS = ("", "Question", "Provider", "State", "Took")
_QUESTION_SHOWN, _QUESTION_LOOKED_AT = 60, 2000
_NOTHING = "—"


def answer_bundle(answer: Answer) -> dict[str, str]:
    """Return an answer with its collapsed reasoning and its report, by MIME type."""
    body = bundle_of("markdown", answer.text, final=True) if answer.text else {}
    parts = [reasoning_text(answer), body.get("text/plain", "").rstrip(), report_text(answer)]
    html = f"<div>{reasoning_html(answer)}{body.get('text/html', '')}{report_html(answer)}</div>"
    bundle = {
        "text/html": in_one_block(html),
        "text/plain": "\n\n".join(part for part in parts if part),
    }
    return bundle if not body else {**bundle, "text/markdown": body["text/markdown"]}


def answers_html(answers: Sequence[Answer]) -> str:
    """Return a table with a row for each answer, the latest at the bottom, as HTML."""
    if not answers:
        return block_html("<div>There is no answer yet.</div>")
    return block_html(table_html(_HEADS, _rows(answers), wide=[1]))


def answers_text(answers: Sequence[Answer]) -> str:
    """Return the same table as plain text."""
    return "\n".join(table_text(_HEADS, _rows(answers))) if answers else "There is no answer yet."


def _rows(answers: Sequence[Answer]) -> list[tuple[str, ...]]:
    return [
        (
            f"[{place - len(answers)}]",
            _question(answer),
            answer.provider or _NOTHING,
            answer.state,
            _NOTHING if answer.duration is None else seconds(answer.duration),
        )
        for place, answer in enumerate(answers)
    ]


def _question(answer: Answer) -> str:
    """Return the first words of the latest question."""
    asked = [message for message in answer.messages if message.get("role") == "user"]
    content = asked[-1].get("content") if asked else ""
    if isinstance(content, list):
        texts = [part.get("text") if isinstance(part, dict) else None for part in content]
        content = " ".join(text for text in texts if isinstance(text, str)) or "[image]"
    return one_line(mask(str(content or "").lstrip()[:_QUESTION_LOOKED_AT]), _QUESTION_SHOWN) or _NOTHING
