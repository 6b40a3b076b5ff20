"""Read and write conversation files: JSON lines in UTF-8, one turn per line, oldest first.

    {"version": 1, "conversation": "main", "question": "Why?", "answer": "Because.", "state": "completed",
     "provider": "openai", "model": "gpt-5", "system": "Be brief.", "asked_at": 1763865600.0, "request_sha256": "…"}

``version``, ``conversation``, ``question`` (text, or parts as in `nbretry.types.Content`), ``answer`` and ``state``
(``completed`` or ``stopped``) are in every line; the other fields are optional. Unknown fields are ignored. Secrets
are masked in written files.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from nbretry._utils.names import is_name
from nbretry._utils.serialization import masked
from nbretry.errors import ConfigError
from nbretry.prompts.turn import Turn, TurnState

__all__ = ["FILE_VERSION", "read_turns", "write_turns"]

FILE_VERSION = 1
"""Version of the file format; other versions are refused."""

_LINE_ENDS = {ord(character): f"\\u{ord(character):04x}" for character in "\u0085\u2028\u2029"}
_LATEST = 2e11  # seconds since the epoch; `datetime` ends a little later
_UNUSABLE = (OSError, RuntimeError, ValueError)
"""What an unusable path raises: for a loop of links or a NUL in a name it is not an `OSError`."""


def write_turns(path: str | os.PathLike[str], turns: Mapping[str, Sequence[Turn]]) -> None:
    """Write a file completely or not at all.

    Args:
        path: the file; ``~`` is the home directory.
        turns: the turns of each conversation, by its name.

    Raises:
        ConfigError: the file cannot be written; then it is unchanged.
    """
    _write(_expanded(path), b"".join(_to_line(name, turn) for name, one in turns.items() for turn in one))


def read_turns(path: str | os.PathLike[str]) -> dict[str, list[Turn]]:
    """Return the turns of each conversation in a file, by its name.

    Args:
        path: the file; ``~`` is the home directory.

    Raises:
        ConfigError: the file cannot be read, or a line is wrong; the message has the number of the line.
    """
    path = _expanded(path)
    found: dict[str, list[Turn]] = {}
    try:
        data = path.read_bytes()
    except _UNUSABLE as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip():
            try:
                name, turn = _from_line(line)
            except (ValueError, RecursionError) as error:
                wrong = "it is no JSON" if not isinstance(error, _WrongLineError) else str(error)
                raise ConfigError(f"{path}, line {number}, is no turn of a conversation: {wrong}") from error
            found.setdefault(name, []).append(turn)
    return found


def _expanded(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.expanduser(path))  # Path.expanduser raises if there is no home directory


def _to_line(name: str, turn: Turn) -> bytes:
    record = {
        "version": FILE_VERSION,
        "conversation": name,
        "question": turn.question,
        "answer": turn.answer,
        "state": turn.state,
        "provider": turn.provider,
        "model": turn.model,
        "system": turn.system,
        "asked_at": turn.asked_at,
        "request_sha256": turn.request_sha256,
    }
    given = masked({key: value for key, value in record.items() if value is not None})
    line = json.dumps(given, ensure_ascii=False).translate(_LINE_ENDS)
    # UTF-8 cannot encode a lone surrogate; the replacement is its escape in JSON.
    return line.encode("utf-8", "backslashreplace") + b"\n"


def _write(path: Path, data: bytes) -> None:
    """Write a file completely or not at all."""
    try:
        target = path.resolve()  # a link stays a link
        if target.is_dir():
            raise IsADirectoryError(None, "it is a directory")
        beside = target.with_name(f".{os.urandom(8).hex()}.nbretry")
        try:
            with beside.open("xb") as file:
                if target.exists():
                    beside.chmod(target.stat().st_mode & 0o777)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(target)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
    except _UNUSABLE as error:
        raise ConfigError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from error


class _WrongLineError(ValueError):
    """A line is JSON, but not a valid turn."""


def _from_line(line: bytes) -> tuple[str, Turn]:
    record = json.loads(line.decode("utf-8"))
    if not isinstance(record, dict) or "version" not in record:
        raise _WrongLineError('it has no "version"')
    if record["version"] != FILE_VERSION:
        raise _WrongLineError(f'its "version" is {_shown(record["version"])}, and this nbretry reads {FILE_VERSION}')
    name = _text(record, "conversation")
    if not name or not is_name(name):
        raise _WrongLineError("its \"conversation\" is no name of letters, digits, '_', '-' and '.'")
    question: Any = record.get("question")
    if not _is_content(question):
        raise _WrongLineError('its "question" is neither text nor a list of parts')
    answer = _text(record, "answer")
    if answer is None or not answer.strip():
        raise _WrongLineError('its "answer" is empty')
    state: Any = record.get("state")
    if state not in get_args(TurnState):
        raise _WrongLineError(f'its "state" is neither {" nor ".join(get_args(TurnState))}')
    asked_at = record.get("asked_at")
    if asked_at is not None and not _is_time(asked_at):
        raise _WrongLineError('its "asked_at" is no number of seconds since the epoch')
    return name, Turn(
        question,
        answer,
        state,
        _text(record, "provider"),
        _text(record, "model"),
        _text(record, "system"),
        None if asked_at is None else float(asked_at),
        _text(record, "request_sha256"),
    )


def _text(record: dict[str, Any], key: str) -> str | None:
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise _WrongLineError(f'its "{key}" is no text')
    return value


def _is_content(value: Any) -> bool:
    if isinstance(value, str):
        return bool(value.strip())
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in value)
    )


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LATEST


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 20 else text[:19] + "…"
