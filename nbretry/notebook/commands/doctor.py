"""``%nbretry doctor``: check which providers can answer, and say what to do about the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbretry.notebook.commands.word_parser import WordParser
from nbretry.notebook.kernel import awaited_cells
from nbretry.notebook.output.single_output import Output
from nbretry.renderers.doctor import doctor_html, doctor_text
from nbretry.session.doctor import examine, unconfigured
from nbretry.session.options import add_arguments, names_in
from nbretry.session.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["run"]


def run(shell: InteractiveShell, words: Sequence[str]) -> None:
    """Examine the providers and show the results."""
    parser = WordParser()
    add_arguments(parser)
    parsed = parser.parse_args(words)
    session = default_session()
    names = names_in(parsed.names)
    chosen = names or session.default_providers()
    output = Output(shell)

    async def main() -> None:
        with awaited_cells.wakeful_loop():
            if chosen:
                output.show_for_now(f"examining {', '.join(chosen)} …")
            diagnoses = await examine(session, chosen, ask=parsed.ask, timeout=parsed.timeout)
            rest = unconfigured(session, chosen) if names is None else None
            output.show(doctor_html(diagnoses, rest), doctor_text(diagnoses, rest))

    try:
        awaited_cells.run(main)
        return
    except KeyboardInterrupt:
        pass  # raised below, outside of this handler, so that the traceback shows no chained exception
    raise awaited_cells.Stopped("stopped; nothing of the examination is kept")
