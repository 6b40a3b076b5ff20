"""``%nbretry key``: ask for a key in a prompt, so that no cell and no saved notebook contains it."""

from __future__ import annotations

import getpass
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbretry._utils.redaction import remember_secret
from nbretry._utils.text import nearest
from nbretry.errors import ConfigError
from nbretry.notebook.commands.word_parser import WordParser
from nbretry.notebook.kernel.awaited_cells import Stopped
from nbretry.notebook.output.single_output import Output
from nbretry.providers.keys import ENTERED, KEYRING, enter_key, find_key, forget_key, save_key
from nbretry.providers.probe import key_variable_of
from nbretry.session.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["run"]

_PLACES = {ENTERED: "this process", KEYRING: "the system keyring"}


def run(shell: InteractiveShell, words: Sequence[str]) -> None:
    """Ask for a key and keep it, or forget a key."""
    parser = WordParser()
    parser.add_argument("name", nargs="?")
    parser.add_argument("others", nargs="*")
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--forget", action="store_true")
    parsed = parser.parse_args(words)
    if parsed.name is None:
        raise ConfigError("whose key? write a provider or a variable, as %nbretry key openai")
    if parsed.others:
        for word in parsed.others:
            remember_secret(word)  # it may be the key
        raise ConfigError(f"a key is written into no cell: %nbretry key {parsed.name} asks for it")
    if parsed.save and parsed.forget:
        raise ConfigError("--save and --forget do not go together")
    variable = _variable_of(parsed.name)
    output = Output(shell)
    if parsed.forget:
        output.show_line(_forgotten(variable))
        return
    try:
        typed = _ask(variable)
    except KeyboardInterrupt:
        typed = None  # raised below, outside of this handler, so that the traceback shows no chained exception
    if typed is None:
        raise Stopped("stopped; no key was entered")
    enter_key(variable, typed)
    if not parsed.save:
        output.show_line(f"{variable} is kept for this process")
        return
    try:
        save_key(variable)
    except ConfigError as error:
        raise ConfigError(f"{error}; {variable} is kept for this process only") from None
    output.show_line(
        f"{variable} is kept for this process and in the system keyring, "
        "which is looked into for providers that are named with -p or in the setting providers"
    )


def _variable_of(name: str) -> str:
    """Return the environment variable of a provider's key, or the name itself if it is that of a variable."""
    session = default_session()
    known = session.names()
    if name not in known:
        if name.isidentifier() and name.isupper():
            return name
        raise ConfigError(f"there is no provider named {name!r}{nearest(name, known)}")
    variable = key_variable_of(session.provider(name))
    if variable is None:
        raise ConfigError(f"{name} has no variable with a key")
    return variable


def _forgotten(variable: str) -> str:
    was = forget_key(variable)
    left = find_key(variable)
    told = (
        f"{variable} is forgotten in {' and in '.join(_PLACES[place] for place in was)}"
        if was
        else (f"{variable} was neither entered nor in the system keyring")
    )
    return told if left is None else f"{told}; it is still set in {_place(left.source)}"


def _place(source: str) -> str:
    return "the environment" if source == "environment" else source


def _ask(variable: str) -> str:
    try:
        with warnings.catch_warnings():
            # If the input cannot be hidden, getpass only warns and shows what is typed. Make that an error.
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(f"{variable}: ")
    except (EOFError, OSError, NotImplementedError, getpass.GetPassWarning):
        pass  # raised below, outside of this handler, so that the traceback shows no chained exception
    raise ConfigError(f"nothing can be typed here: set {variable} in the environment or in .env in place of it")
