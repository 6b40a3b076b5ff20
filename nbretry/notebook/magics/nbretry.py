"""The ``%nbretry`` magic and the table of its subcommands, such as ``%nbretry doctor``."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from IPython.core.magic import no_var_expand

from nbretry.notebook.kernel.per_shell import PerShell

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["SUBCOMMANDS", "Subcommand", "register", "split_words", "unregister"]

_NAME = "nbretry"


class Subcommand(NamedTuple):
    """One subcommand. Its module in `nbretry.notebook.commands` has a function ``run(shell, words)``.

    Attributes:
        usage: the arguments after its name, for the help.
        help: what it does, in a few words.
    """

    usage: str
    help: str


SUBCOMMANDS = {
    "providers": Subcommand("", "who may be asked: model, key, health, last latency"),
    "config": Subcommand("[KEY [VALUE]] [--unset KEY]", "the settings, where each came from, and their change"),
    "key": Subcommand("PROVIDER [--save] [--forget]", "ask for a key, in a prompt that no notebook keeps"),
    "last": Subcommand("[--traceback] [--json]", "the last answer's report, its tracebacks, or its record"),
    "cost": Subcommand("", "what all questions together have cost"),
    "history": Subcommand("[NAME] [--save FILE] [--load FILE]", "conversations, or what was said in one"),
    "forget": Subcommand("[NAME …] [--all]", "forget a conversation"),
    "reset": Subcommand("[NAME …]", "end the rests of providers that have failed"),
    "doctor": Subcommand("[NAME …] [--no-ask] [--timeout S]", "who can answer, and what to do about others"),
    "panel": Subcommand("[NAME …]", "ask from a panel, with a provider picker"),
    "fix": Subcommand("[OPTIONS OF %ask] [QUESTION]", "explain the last exception of this notebook"),
    "log": Subcommand("on FILE | off", "write every event of every run to a file, as JSON lines"),
}


def split_words(line: str) -> list[str]:
    """Split a line into words. Quotes keep text with spaces together.

    Raises:
        ConfigError: a quote is not closed.
    """
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""  # keeps backslashes in Windows paths
    try:
        return list(lexer)
    except ValueError:
        from nbretry.errors import ConfigError

        raise ConfigError(f"a quote is not closed in: {line.strip()}") from None


class _CommandMagic:
    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

        def nbretry(line: str) -> None:
            self._run(line)

        # Keep $HOME, {x} and the like as typed: IPython would expand them.
        no_var_expand(nbretry)
        nbretry.__doc__ = _help()
        self._function = nbretry

    def install(self) -> None:
        self._shell.register_magic_function(self._function, "line", _NAME)  # type: ignore[arg-type]  # typed as a method

    def uninstall(self) -> None:
        magics = self._shell.magics_manager.magics["line"]
        if magics.get(_NAME) is self._function:
            del magics[_NAME]

    def _run(self, line: str) -> None:
        name, _, rest = line.strip().partition(" ")
        if name in ("", "help", "-h", "--help"):
            from nbretry.notebook.output.single_output import Output

            Output(self._shell).show(_help_html(), _help())
        elif name in SUBCOMMANDS:
            words: Sequence[str] = [rest] if name == "fix" else split_words(rest)
            _function_of(name)(self._shell, words)
        else:
            from nbretry._utils.text import nearest
            from nbretry.errors import ConfigError

            raise ConfigError(f"%{_NAME} knows no {name!r}{nearest(name, list(SUBCOMMANDS))}")


def _function_of(name: str) -> Callable[[InteractiveShell, Sequence[str]], None]:
    """Return the function of a subcommand. Import only its module, as importing all of them takes a while."""
    match name:
        case "providers":
            from nbretry.notebook.commands.providers import run
        case "config":
            from nbretry.notebook.commands.config import run
        case "key":
            from nbretry.notebook.commands.key import run
        case "last":
            from nbretry.notebook.commands.last import run
        case "cost":
            from nbretry.notebook.commands.cost import run
        case "history":
            from nbretry.notebook.commands.history import run
        case "forget":
            from nbretry.notebook.commands.forget import run
        case "reset":
            from nbretry.notebook.commands.reset import run
        case "doctor":
            from nbretry.notebook.commands.doctor import run
        case "panel":
            from nbretry.notebook.commands.panel import run
        case "fix":
            from nbretry.notebook.commands.fix import run
        case "log":
            from nbretry.notebook.commands.log import run
        case _:
            raise LookupError(f"no function for %{_NAME} {name}")
    return run


def _help() -> str:
    width = max(len(usage) for usage, _ in _rows())
    return "\n".join(f"{usage:<{width}}  {told}" for usage, told in _rows())


def _help_html() -> str:
    from nbretry.renderers.tables import block_html, table_html

    # A table, as long lines of preformatted text would break in the middle of a word.
    return block_html(table_html(("Command", "What it does"), _rows(), wide=[1]))


def _rows() -> list[tuple[str, str]]:
    return [(f"%{_NAME} {name} {one.usage}".strip(), one.help) for name, one in SUBCOMMANDS.items()]


_magics = PerShell(_CommandMagic)
register, unregister = _magics.register, _magics.unregister
