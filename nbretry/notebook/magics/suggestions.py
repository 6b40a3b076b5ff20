"""Completions at the cursor: options and their values, variables in a prompt, subcommands and their words.

This module sends no request and does not read the system keyring: it suggests only what this process knows already, and
the names of files.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple, get_args

from nbretry.config.schema import SETTINGS
from nbretry.errors import ConfigError
from nbretry.notebook.magics.nbretry import SUBCOMMANDS
from nbretry.providers.keys import find_key
from nbretry.providers.services import PRESETS
from nbretry.retry.policy import OnBreak
from nbretry.session.options import MAGIC_FLAGS, MAGIC_OPTIONS, Option
from nbretry.session.registry import offered_by_packages
from nbretry.session.response_format import may_be_schema
from nbretry.session.session import Session, default_session
from nbretry.types import Format

__all__ = ["Suggestion", "Suggestions", "for_command_line", "for_prompt", "for_question_line"]

_MOST_FILES = 200

_WORD = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[^\s"'])+|\S+)""")
_FLAG = re.compile(r"--?[A-Za-z]")
_OPEN_PLACEHOLDER = re.compile(r"\{\{\s*(?P<name>[^\W\d]\w*)?$")
_USAGE = re.compile(r"(?P<flag>--[\w-]+)(?: (?P<value>[A-Z]+))?")
_MODEL = re.compile(r"[\w./:@+-]{1,200}")


class Suggestion(NamedTuple):
    """A text to insert at the cursor, and in a few words what it means."""

    text: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Suggestions:
    """The completions at the cursor.

    Attributes:
        fragment: the text before the cursor that each suggestion replaces.
        suggestions: the most likely one first.
    """

    fragment: str
    suggestions: list[Suggestion]


def for_question_line(line: str, namespace: Mapping[str, Any], *, in_cell: bool) -> Suggestions | None:
    """Return the completions at the end of a line of ``%%ask`` or ``%ask``.

    Args:
        line: the text after the magic's name, up to the cursor.
        namespace: the user's variables, by name.
        in_cell: whether this is the line of ``%%ask``, which does not contain the question.

    Returns:
        The completions; None to leave completion to IPython.
    """
    read = _read(line, in_cell)
    if read.prompt is not None:
        return Suggestions("", []) if in_cell else for_prompt(read.prompt, namespace, options=line)
    if read.awaits is not None:
        return _values(read.awaits, read.fragment, read.given, namespace)
    flag, equals, value = read.fragment.partition("=")
    if equals and flag in MAGIC_FLAGS:
        return _values(MAGIC_FLAGS[flag], value, read.given, namespace)
    if read.fragment and not read.fragment.startswith("-"):
        if read.may_take is not None:
            return _values(read.may_take, read.fragment, read.given, namespace)
        return Suggestions("", []) if in_cell else for_prompt(read.fragment, namespace, options=line)
    flags = _flags(read.fragment, read.given)
    if read.may_take is not None and not read.fragment:
        names = _values(read.may_take, "", read.given, namespace)
        return Suggestions("", [*names.suggestions, *flags.suggestions])
    return flags


def for_prompt(prompt: str, namespace: Mapping[str, Any], *, options: str = "") -> Suggestions | None:
    """Return the variables for a ``{{`` that is open before the cursor.

    Args:
        prompt: the prompt from its beginning to the cursor.
        namespace: the user's variables, by name.
        options: the magic's line.

    Returns:
        The completions; None if no ``{{`` is open, or the options contain ``--raw``.
    """
    placeholder = _OPEN_PLACEHOLDER.search(prompt)
    if placeholder is None or "--raw" in options.split():
        return None
    fragment = placeholder["name"] or ""
    return _starting(fragment, dict.fromkeys([*_variables(namespace, _is_data), *_variables(namespace)]))


def for_command_line(line: str, namespace: Mapping[str, Any]) -> Suggestions | None:
    """Return the completions at the end of a line of ``%nbretry``.

    Args:
        line: the text after the magic's name, up to the cursor.
        namespace: the user's variables, by name.

    Returns:
        The completions; None in the question of ``%nbretry fix``, to leave completion to IPython.
    """
    name, space, rest = line.lstrip().partition(" ")
    if not space:
        return _starting(name, [Suggestion(name, one.help) for name, one in SUBCOMMANDS.items()])
    if name not in SUBCOMMANDS:
        return Suggestions("", [])
    if name == "fix":
        return for_question_line(rest, namespace, in_cell=False)
    *words, fragment = [*rest.split(), ""] if rest[-1:].isspace() or not rest else rest.split()
    flags = {match["flag"]: match["value"] for match in _USAGE.finditer(SUBCOMMANDS[name].usage)}
    values, awaited = [], None
    for word in words:
        if awaited is None and word not in flags:
            values.append(word)
        awaited = flags.get(word) if awaited is None else None
    if awaited is not None:
        return _VALUES_OF_USAGE[awaited](fragment) if awaited in _VALUES_OF_USAGE else Suggestions("", [])
    others = [Suggestion(flag, f"option of %nbretry {name}") for flag in flags if flag not in words]
    if fragment.startswith("-"):
        return _starting(fragment, others)
    found = _WORDS[name](values, fragment) if name in _WORDS else Suggestions(fragment, [])
    return found if fragment else Suggestions(found.fragment, [*found.suggestions, *others])


@dataclass
class _Read:
    """The contents of a line up to the cursor.

    Attributes:
        given: the text of each option's value, by the option's ``dest``.
        fragment: the word at the cursor.
        awaits: the option whose value must come next.
        may_take: the option whose value may come next.
        prompt: the question so far; None if it has not begun.
    """

    given: dict[str, str]
    fragment: str = ""
    awaits: Option | None = None
    may_take: Option | None = None
    prompt: str | None = None


def _read(line: str, in_cell: bool) -> _Read:
    read = _Read({})
    position = 0
    while (word := _WORD.match(line, position)) is not None:
        text = word[1]
        if word.end() == len(line):
            read.fragment = text
            break
        position = word.end()
        if read.awaits is not None:
            read.given[read.awaits.dest] = text.strip("\"'")
            read.awaits = None
        elif text == "--":
            read.prompt = line[position:]
            break
        elif _FLAG.match(text):
            flag, equals, value = text.partition("=")
            option, read.may_take = MAGIC_FLAGS.get(flag), None
            if option is not None:
                read.given[option.dest] = value.strip("\"'")
                if option.convert is not None and not equals:
                    read.awaits = option if option.default is None else None
                    # In a line of %ask the next word belongs to the question.
                    read.may_take = option if option.default is not None and in_cell else None
        elif read.may_take is not None:
            read.given[read.may_take.dest] = text
            read.may_take = None
        else:
            read.prompt = line[word.start(1) :]
            break
    return read


def _flags(fragment: str, given: Mapping[str, str]) -> Suggestions:
    """Return the options that may still follow; with an empty fragment, only their long names."""
    options = [option for option in MAGIC_OPTIONS if option.repeats or option.dest not in given]
    shown = [(flag, option.help) for option in options for flag in (option.flags if fragment else option.flags[-1:])]
    return _starting(fragment, [Suggestion(flag, meaning) for flag, meaning in shown])


def _values(option: Option, written: str, given: Mapping[str, str], namespace: Mapping[str, Any]) -> Suggestions:
    """Return the possible values of an option, of which ``written`` is typed so far."""
    match option.dest:
        case "providers" | "compare":
            return _providers(written)
        case "model":
            return _starting(written, _models((given.get("providers") or given.get("compare") or "").split(",")))
        case "format":
            return _starting(written, [Suggestion(form, "format") for form in get_args(Format)])
        case "on_break":
            return _starting(written, [Suggestion(how, _ON_BREAK[how]) for how in get_args(OnBreak)])
        case "conversation":
            return _conversations([], written)
        case "into":
            return _starting(written, _variables(namespace, _is_data))
        case "schema":
            return _starting(written, _variables(namespace, may_be_schema))
    return Suggestions(written, [])


def _providers(written: str, before: Sequence[str] = ()) -> Suggestions:
    """Return the names for the last item of a list with commas, default providers first; after a colon, models."""
    *listed, fragment = re.split(r"[,\s\"']+", written)
    session = default_session()
    there = {*listed, *before}
    name, colon, model = fragment.partition(":")
    if colon:
        models = _models([name]) if name else []
        return _starting(model, [one for one in models if f"{name}:{one.text}" not in there])
    names = dict.fromkeys([*map(_name_in, _asked_by_default(session)), *session.names()])
    return _starting(fragment, [Suggestion(name, _who(name)) for name in names if name not in there])


def _name_in(written: str) -> str:
    """Return the provider of ``name:model``, of which any part may be missing while it is typed."""
    return written.partition(":")[0]


def _who(name: str) -> str:
    preset = PRESETS.get(name)
    if preset is None:
        return "provider"
    if preset.key_variable is not None and find_key(preset.key_variable) is None:
        return "key is not set"
    if preset.kind == "local" and importlib.util.find_spec("xllamacpp") is None:
        return "not installed"
    return preset.default_model or ("server on this machine" if preset.on_this_machine else "provider")


def _asked_by_default(session: Session) -> list[str]:
    with suppress(ConfigError):  # a mistake in a settings file or the environment
        return session.default_providers()
    return []


def _models(providers: Sequence[str]) -> list[Suggestion]:
    """Return the default models of these providers, or of the default ones, and the models of earlier attempts."""
    session = default_session()
    ready = [_name_in(written) for written in _asked_by_default(session)]
    named = [_name_in(written) for written in providers if written]
    found: dict[str, str] = {}
    for name in named or ready:
        model = _default_model(session, name, ready)
        if isinstance(model, str):
            found.setdefault(model, f"default of {name}")
    for answer in reversed(session.answers):
        for attempt in answer.attempts:
            if not named or attempt.provider in named:
                found.setdefault(attempt.model or "", f"of {attempt.provider}")
    # A model's name may come from a server's response.
    return [Suggestion(model, meaning) for model, meaning in found.items() if _MODEL.fullmatch(model)]


def _default_model(session: Session, name: str, ready: Sequence[str]) -> Any:
    """Return a provider's default model, unless a package would have to be loaded only to find out."""
    with suppress(ConfigError):  # the name is unknown, or a settings file has a mistake
        if name in ready or name not in offered_by_packages():
            return getattr(session.provider(name), "default_model", None)
    return PRESETS[name].default_model if name in PRESETS else None


def _conversations(before: Sequence[str], written: str) -> Suggestions:
    names = [name for name in default_session().conversations.names() if name not in before]
    return _starting(written, [Suggestion(name, "conversation") for name in names])


def _settings(before: Sequence[str], written: str) -> Suggestions:
    """Return the settings' keys, or after a key the values of that setting."""
    if not before:
        return _starting(written, [Suggestion(key, one.meaning) for key, one in SETTINGS.items()])
    option = next((one for one in MAGIC_OPTIONS if one.dest == before[0]), None)
    return _values(option, written, {}, {}) if option is not None and len(before) == 1 else Suggestions("", [])


def _variables(namespace: Mapping[str, Any], fits: Callable[[Any], bool] = lambda value: True) -> list[Suggestion]:
    """Return the variables whose values fit, sorted by name, each with its type."""
    found = []
    names = sorted(name for name in namespace if isinstance(name, str))
    for name, value in ((name, namespace[name]) for name in names):
        with suppress(Exception):  # inspecting a value may raise anything
            if fits(value):
                found.append(Suggestion(name, type(value).__name__))
    return found


def _is_data(value: Any) -> bool:
    # Look at the type only: isinstance reads the value's __class__, which makes a lazy object load.
    return not issubclass(type(value), ModuleType | type) and not callable(value)


def _files(written: str) -> Suggestions:
    """Return the files and directories in the working directory, or in the one that is typed."""
    directory, _, fragment = written.rpartition("/")
    found = []
    with suppress(OSError), os.scandir(os.path.expanduser(f"{directory}/" if "/" in written else ".")) as entries:
        for entry in entries:
            # Leave out names with spaces or quotes, which would need quotes.
            if (
                entry.name.startswith(fragment)
                and entry.name.startswith(".") <= fragment.startswith(".")
                and (not re.search(r"[\s\"']", entry.name))
            ):
                found.append(f"{entry.name}/" if entry.is_dir() else entry.name)
    return _starting(fragment, [Suggestion(name, "file") for name in sorted(found)[:_MOST_FILES]])


def _log_words(before: Sequence[str], written: str) -> Suggestions:
    if not before:
        return _starting(written, [Suggestion("on", "write to this file"), Suggestion("off", "write no more")])
    return _files(written) if list(before) == ["on"] else Suggestions("", [])


def _with_key(before: Sequence[str], written: str) -> Suggestions:
    if before or ":" in written:
        return Suggestions("", [])
    found = _providers(written)
    keyless = {name for name, preset in PRESETS.items() if preset.key_variable is None}
    return Suggestions(found.fragment, [one for one in found.suggestions if one.text not in keyless])


def _starting(fragment: str, suggestions: Iterable[Suggestion]) -> Suggestions:
    """Return those that start with the fragment; private names only once their underscore is typed."""
    hidden = "" if fragment.startswith("_") else "_"
    return Suggestions(
        fragment,
        [one for one in suggestions if one.text.startswith(fragment) and not (hidden and one.text.startswith(hidden))],
    )


_ON_BREAK = {
    "raise": "fail, and keep what had come",
    "restart": "the next one answers from the start",
    "continue": "the next one goes on from the text",
}

_WORDS: dict[str, Callable[[Sequence[str], str], Suggestions]] = {
    "config": _settings,
    "doctor": lambda before, written: _providers(written, before),
    "forget": _conversations,
    "history": lambda before, written: Suggestions("", []) if before else _conversations(before, written),
    "key": _with_key,
    "log": _log_words,
    "panel": lambda before, written: _providers(written, before),
    "providers": lambda before, written: _providers(written, before),
    "reset": lambda before, written: _providers(written, before),
}
"""By subcommand, a function of the words before the cursor and the word at it that returns the completions."""

_VALUES_OF_USAGE: dict[str, Callable[[str], Suggestions]] = {
    "FILE": _files,
    "KEY": lambda written: _settings([], written),
}
"""By the name of an option's value in a subcommand's usage, a function of the typed text that returns completions."""
