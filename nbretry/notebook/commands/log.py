"""``%nbretry log on FILE``: write every event of every run to a file, as JSON lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nbretry.errors import ConfigError
from nbretry.notebook.output.single_output import Output
from nbretry.session.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["run"]


def run(shell: InteractiveShell, words: Sequence[str]) -> None:
    """Start or stop the log, or say whether one is being written."""
    session, output = default_session(), Output(shell)
    match list(words):
        case ["on", file]:
            session.start_log(Path(file).expanduser())
            output.show_line(f"every event, prompts and answers included, is written to {session.log_path}")
        case ["off"]:
            path = session.log_path
            session.stop_log()
            output.show_line("no log was being written" if path is None else f"the log in {path} has ended")
        case []:
            path = session.log_path
            output.show_line("no log is written" if path is None else f"every event is written to {path}")
        case _:
            raise ConfigError("write: %nbretry log on FILE, or: %nbretry log off")
