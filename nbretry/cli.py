"""The command line: ``nbretry ask``, ``nbretry doctor``, ``nbretry pull`` and ``nbretry demo``."""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from nbretry._utils.exceptions import describe
from nbretry._version import __version__
from nbretry.errors import ConfigError, NbretryError, RetryProviderError
from nbretry.renderers.compare import ComparisonConsole, headings
from nbretry.renderers.console import ConsoleRenderer
from nbretry.session.options import OPTIONS, add_options, question_of
from nbretry.session.runlog import JsonLinesRenderer
from nbretry.session.session import default_session

__all__ = ["main"]

INTERRUPTED = 130
MISTAKE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: the arguments without the program's name; those of the process by default.

    Returns:
        The exit status: 0 on success, 1 if no provider answered or could answer, 2 for a mistake in the command, 130
        after an interrupt.
    """
    parser = _parser()
    parsed = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")  # a character that the encoding lacks must not lose the answer
    try:
        return int(parsed.command(parsed))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader closed the pipe. Python flushes stdout at exit, so let that go to the null device.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except NbretryError as error:
        print(f"nbretry: {describe(error)}", file=sys.stderr)  # noqa: T201
        return MISTAKE if isinstance(error, ConfigError) else 1


def _parser() -> argparse.ArgumentParser:
    from nbretry.session.options import add_arguments

    parser = argparse.ArgumentParser(prog="nbretry", description="Ask language models, with fallback over providers.")
    parser.add_argument("--version", action="version", version=f"nbretry {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    ask = commands.add_parser(
        "ask", allow_abbrev=False, help="ask a question; the answer goes to stdout, the attempts to stderr"
    )
    ask.add_argument("question", help="the question, or - to read it from standard input")
    add_options(ask)
    ask.add_argument("--json", action="store_true", help="write the run's events as JSON lines in place of the text")
    ask.set_defaults(command=_ask)

    doctor = commands.add_parser(
        "doctor", allow_abbrev=False, help="examine the providers: key, endpoint, model, time to the first content"
    )
    add_arguments(doctor)
    doctor.set_defaults(command=_doctor)

    pull = commands.add_parser("pull", help="fetch the small local model, once")
    pull.set_defaults(command=_pull)

    demo = commands.add_parser(
        "demo", help="execute a notebook and show in the terminal what it asked and who answered"
    )
    demo.add_argument("notebook", type=Path)
    demo.add_argument("--output", type=Path, default=None, help="where the executed notebook is written")
    demo.set_defaults(command=_demo)
    return parser


def _refuse_dashes(parsed: argparse.Namespace) -> None:
    """Refuse ``--`` as the value of an option; argparse turns it into an empty list."""
    for option in OPTIONS:
        value = getattr(parsed, option.dest)
        if value == [] or (isinstance(value, list) and [] in value):
            raise ConfigError(f"{option.flags[-1]} needs a value, and '--' is none")


def _ask(parsed: argparse.Namespace) -> int:
    _refuse_dashes(parsed)
    prompt = sys.stdin.read() if parsed.question == "-" else parsed.question
    if parsed.compare:
        return _compare(prompt, parsed)
    paint = JsonLinesRenderer(sys.stdout) if parsed.json else ConsoleRenderer(sys.stdout, sys.stderr)
    try:
        asyncio.run(default_session().ask(question_of(prompt, parsed), paint))
    except NbretryError:
        if not default_session().answers:  # no provider was asked, so no renderer has shown the error
            raise
        return 1
    return 0


def _compare(prompt: str, parsed: argparse.Namespace) -> int:
    if parsed.json:
        raise ConfigError("--json writes the events of one answer, and --compare asks for several: write one of them")
    paint = ComparisonConsole(sys.stdout, sys.stderr, headings(parsed.compare))
    try:
        asyncio.run(default_session().compare(question_of(prompt, parsed), parsed.compare, paint))
    except RetryProviderError:  # the renderer has already shown it
        return 1
    return 0


def _doctor(parsed: argparse.Namespace) -> int:
    from nbretry.renderers.doctor import doctor_text
    from nbretry.session.doctor import examine, unconfigured
    from nbretry.session.options import names_in

    session = default_session()
    names = names_in(parsed.names)
    chosen = names or session.default_providers()
    if chosen:
        print(f"examining {', '.join(chosen)} …", file=sys.stderr)  # noqa: T201
    diagnoses = asyncio.run(examine(session, chosen, ask=parsed.ask, timeout=parsed.timeout))
    text = doctor_text(diagnoses, unconfigured(session, chosen) if names is None else None)
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding))  # noqa: T201
    return 0 if any(one.can_answer for one in diagnoses) else 1


def _pull(parsed: argparse.Namespace) -> int:
    from nbretry.providers.local.download import progress_bar
    from nbretry.providers.local.model import ensure_model

    with progress_bar() as progress:
        path = ensure_model(progress)
    print(f"the local model is at {path}", file=sys.stderr)  # noqa: T201
    return 0


def _demo(parsed: argparse.Namespace) -> int:
    from nbretry.demo import run_demo

    output = parsed.output or parsed.notebook.with_name(f"{parsed.notebook.stem}.executed.ipynb")
    return run_demo(parsed.notebook, output)


if __name__ == "__main__":
    sys.exit(main())
