"""``%nbretry``: what is not a question, as ``%nbretry doctor``."""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, NoReturn

from IPython.core.magic import no_var_expand

from nbretry.errors import ConfigError, nearest
from nbretry.notebook import awaiting
from nbretry.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["SUBCOMMANDS", "Subcommand", "register", "unregister"]

_NAME = "nbretry"


@dataclass(frozen=True, slots=True)
class Subcommand:
    """One subcommand.

    Attributes:
        usage: what stands after its name, for the help.
        help: what it does, in a few words.
        run: is handed the shell and the words after its name.
    """

    usage: str
    help: str
    run: Callable[[InteractiveShell, Sequence[str]], None]


def _doctor(shell: InteractiveShell, words: Sequence[str]) -> None:
    from nbretry.doctor import add_arguments, examine, names_in, unconfigured
    from nbretry.renderers.doctor import doctor_html, doctor_text

    parser = _Parser(add_help=False, allow_abbrev=False)
    add_arguments(parser)
    parsed = parser.parse_args(words)
    session = default_session()
    names = names_in(parsed.names)
    chosen = names or session.default_providers()
    output = _Output(shell)

    async def run() -> None:
        with awaiting.wakeful_loop():
            if chosen:
                output.show_for_now(f"examining {', '.join(chosen)} …")
            diagnoses = await examine(session, chosen, ask=parsed.ask, timeout=parsed.timeout)
            rest = unconfigured(session, chosen) if names is None else None
            output.show(doctor_html(diagnoses, rest), doctor_text(diagnoses, rest))

    try:
        awaiting.run(run)
        return
    except KeyboardInterrupt:
        pass  # raised below, outside, so that no chain of exceptions is shown with it
    raise awaiting.Stopped("stopped; nothing of the examination is kept")


def _reset(shell: InteractiveShell, words: Sequence[str]) -> None:
    from nbretry.doctor import names_in

    names, session = names_in(words), default_session()
    session.health.reset(None if names is None else [session.provider(name) for name in names])
    _Output(shell).show_line(f"{'everybody' if names is None else ', '.join(names)} may be asked again at once")


def _cost(shell: InteractiveShell, words: Sequence[str]) -> None:
    from nbretry.providers.budget import dollars

    if words:
        raise ConfigError(f"%{_NAME} cost takes no more words, and not {words[0]!r}")
    budget = default_session().budget
    limit = "no limit is set" if budget.limit is None else f"the limit is {dollars(budget.limit)}"
    _Output(shell).show_line(f"{dollars(budget.spent, estimated=budget.spent > 0)} spent; {limit}")


SUBCOMMANDS = {
    "doctor": Subcommand("[NAME …] [--no-ask] [--timeout S]", "who can answer, and what to do about others", _doctor),
    "reset": Subcommand("[NAME …]", "end the rests of providers that have failed", _reset),
    "cost": Subcommand("", "what all questions together have cost", _cost),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message.removeprefix("argument "))


class _Output:
    """One output of the running cell, which may first say that something is under way."""

    def __init__(self, shell: InteractiveShell) -> None:
        from IPython.core.displaypub import CapturingDisplayPublisher

        self._shell = shell
        self._display_id = uuid.uuid4().hex
        self._shown = False
        # Neither can take back what it was handed.
        self._only_once = isinstance(shell.display_pub, CapturingDisplayPublisher) or not hasattr(shell, "kernel")

    def show_for_now(self, line: str) -> None:
        """Show a line until something else is shown."""
        if not self._only_once:
            self.show_line(line)

    def show_line(self, line: str) -> None:
        """Show a line of text."""
        self.show(f'<div style="font-size:0.85em;opacity:0.75">{escape(line)}</div>', line)

    def show(self, html: str, text: str) -> None:
        """Show something in both forms, in place of what was shown before."""
        data: dict[str, Any] = {"text/html": html, "text/plain": text}
        if self._only_once:
            self._shell.display_pub.publish(data)
            return
        self._shell.display_pub.publish(data, transient={"display_id": self._display_id}, update=self._shown)
        self._shown = True


class _CommandMagic:
    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

        def nbretry(line: str) -> None:
            self._run(line)

        # A name that is unknown to Python, as $HOME or {x}, stays as it was typed.
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
        name, *words = line.split() or [""]
        if not name:
            _Output(self._shell).show(f"<pre>{escape(_help())}</pre>", _help())
        elif name in SUBCOMMANDS:
            SUBCOMMANDS[name].run(self._shell, words)
        else:
            raise ConfigError(f"%{_NAME} knows no {name!r}{nearest(name, list(SUBCOMMANDS))}")


def _help() -> str:
    rows = [(f"%{_NAME} {name} {one.usage}".strip(), one.help) for name, one in SUBCOMMANDS.items()]
    width = max(len(usage) for usage, _ in rows)
    return "\n".join(f"{usage:<{width}}  {told}" for usage, told in rows)


_magics: dict[InteractiveShell, _CommandMagic] = {}


def register(shell: InteractiveShell) -> None:
    """Give a shell ``%nbretry``; a second call does nothing."""
    if shell not in _magics:
        magic = _magics[shell] = _CommandMagic(shell)
        magic.install()


def unregister(shell: InteractiveShell) -> None:
    """Take it away again."""
    magic = _magics.pop(shell, None)
    if magic is not None:
        magic.uninstall()
