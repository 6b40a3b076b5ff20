"""What the tutorial about providers claims is so."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from page import Page
from tutorial import Executed, Tutorial, saved

from nbretry.session.question import Question
from nbretry.session.session import Session

pytestmark = pytest.mark.local_model

STEM = "02-providers"


class TestProviders(Tutorial):
    stem = STEM
    strict = True

    def test_known_services(self, ran: Executed) -> None:
        """What is known of services is shown in the order of their names: a key is missing, or none is needed."""
        rows = rows_of(ran.shown("%nbretry providers openai,", "text/plain"))
        assert [(row[1], row[3], row[4]) for row in rows] == [
            ("openai", "not set (OPENAI_API_KEY)", "no key"),
            ("anthropic", "not set (ANTHROPIC_API_KEY)", "no key"),
            ("groq", "not set (GROQ_API_KEY)", "no key"),
            ("ollama", "not needed", "ready"),
            ("local", "not needed", "ready"),
        ]

    def test_missing_key(self, ran: Executed) -> None:
        """Who has no key is sent nothing, the next one is asked with no pause, and the error says what is missing."""
        (row,) = rows_of(ran.shown("%nbretry providers moon", "text/plain"))
        assert row[1:5] == ["moon", "large", "not set (NBRETRY_MOON_KEY)", "no key"]
        words = "-p moon,local"
        assert ran.attempts(words) == [("moon", "failed"), ("local", "answered")]
        failed = ran.record(words)["attempts"][0]
        assert failed["exception"]["type"] == "AuthenticationError", "where it was sent, the address would be unknown"
        assert failed["next_step"] == "fallback"
        assert "wait_for" not in failed
        said = ran.printed('exceptions["moon"]')
        assert said.startswith("NBRETRY_MOON_KEY is not set")
        assert "%nbretry key NBRETRY_MOON_KEY" in said

    def test_own_provider(self, ran: Executed) -> None:
        """A plain class answers in a cell, with its name and its model in the line; what it raises is a failure."""
        assert ran.answer("%%ask -p parrot\n").strip() == "Who is a clever bird?"
        assert Page(ran.report("%%ask -p parrot\n")).text.startswith("parrot · grey · first token ")
        words = "-p parrot,local"
        assert ran.attempts(words) == [("parrot", "failed"), ("local", "answered")]
        exception = ran.record(words)["attempts"][0]["exception"]
        assert (exception["type"], exception["message"]) == ("ValueError", "12 words are too many for a parrot")

    def test_is_given_what_the_question_asks_for(self) -> None:
        """In the options of a provider's method is the temperature of the question."""
        parrot = own_class("Parrot")
        seen: list[dict[str, Any]] = []

        class Spied(parrot):  # type: ignore[misc,valid-type]
            def create_completion(self, model: str, messages: Any, **options: Any) -> Any:
                seen.append(options)
                yield from super().create_completion(model, messages, **options)

        session = Session()
        session.register("parrot", Spied())
        asyncio.run(session.ask(Question("Who?", providers=["parrot"], temperature=0.5), lambda event, answer: None))
        assert session.answers[-1].text.strip() == "Who?"
        assert seen[0]["temperature"] == 0.5

    def test_gpt4free_class(self, ran: Executed) -> None:
        """A class with class methods is asked as it is, for the model that is named behind the colon."""
        words = "%%ask -p echo:cave-1"
        assert ran.answer(words).split() == ["Hello...", "Hello..", "Hello."]
        assert Page(ran.report(words)).text.startswith("echo · cave-1 · first token ")

    def test_server_on_this_machine(self, ran: Executed) -> None:
        """A server says what models it has; asked with no model it is asked for the first, else for the one named."""
        assert ran.shown("list_models", "text/plain") == "['qwen3:8b', 'llama3.2:3b']"
        answers = ran.record("--compare")["compare"]
        assert [(answer["provider"], answer["model"]) for answer in answers] == [
            ("workstation", "qwen3:8b"),
            ("workstation", "llama3.2:3b"),
        ]
        text = Page(ran.shown("--compare", "text/html")).text
        assert text.index("I am the large one.") < text.index("I am the small one.")

    def test_doctor(self, ran: Executed) -> None:
        """Everybody is examined, and for those who cannot answer there is something to do."""
        said = ran.shown("%nbretry doctor", "text/plain")
        assert [row[:2] for row in rows_of(said)] == [
            ["✗", "moon"],
            ["✗", "nobody-there"],
            ["✓", "parrot"],
            ["✓", "echo"],
            ["✓", "workstation"],
            ["✓", "local"],
        ]
        assert "moon: set NBRETRY_MOON_KEY in the environment or in .env" in said
        assert "nobody-there: start the server at http://127.0.0.1:9" in said
        assert "Can answer: parrot, echo, workstation, local." in said

    def test_order(self, ran: Executed) -> None:
        """Where nobody is named, those registered come first, and the local model last; the first who can, answers."""
        (listing,) = [cell for cell in ran.document.cells if cell.source == "%nbretry providers"]
        rows = rows_of(listing.outputs[0].data["text/plain"])
        assert [row[1] for row in rows] == ["moon", "parrot", "echo", "workstation", "nobody-there", "local"]
        assert ran.attempts("%%ask\nWhose") == [("moon", "failed"), ("parrot", "answered")]

    def test_key_is_in_no_cell(self) -> None:
        """The notebook does as it says: no key is written into a cell of it, nor shown by one."""
        document = saved(self.stem).document
        code = [cell for cell in document.cells if cell.cell_type == "code"]
        assert not [cell.source for cell in code if "api_key" in cell.source or "environ" in cell.source]

    def test_in_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What it says of ``pyproject.toml`` works as it stands: a provider, its key's variable, and whom to ask."""
        described, _ = toml_blocks()
        key = sentence(r'`(key_variable = "NBRETRY_\w+")`')
        providers = sentence(r"`(providers = \[.*?\])`")
        (tmp_path / "pyproject.toml").write_text(f"{described}{key}\n[tool.nbretry]\n{providers}\n")
        monkeypatch.chdir(tmp_path)
        session = Session()
        workstation: Any = session.provider("workstation")
        assert workstation.base_url == "http://127.0.0.1:11434/v1"
        assert workstation.default_model == "qwen3:8b"
        assert workstation.key_variable == "NBRETRY_WORKSTATION_KEY"
        assert session.default_providers() == ["workstation", "local"]

    def test_in_the_users_own_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same works in the user's own file, under a shorter name."""
        described, _ = toml_blocks()
        (tmp_path / "config.toml").write_text(described.replace("[tool.nbretry.provider.", "[provider."))
        monkeypatch.setenv("NBRETRY_CONFIG", str(tmp_path / "config.toml"))
        workstation: Any = Session().provider("workstation")
        assert workstation.base_url == "http://127.0.0.1:11434/v1"

    def test_in_a_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An installed package with the entry point that it shows offers its provider, which answers by its name."""
        _, offered = toml_blocks()
        group, line = offered.strip().splitlines()
        metadata = tmp_path / "birds-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: birds\nVersion: 1.0\n")
        section = group.removeprefix("[project.entry-points.").replace('"', "")
        (metadata / "entry_points.txt").write_text(f"[{section}\n{line.replace(chr(34), '')}\n")
        (tmp_path / "birds").mkdir()
        (tmp_path / "birds" / "providers.py").write_text(f"{class_source('Parrot')}\nparrot = Parrot()\n")
        monkeypatch.syspath_prepend(tmp_path)
        session = Session()
        assert "parrot" in session.names()
        messages = [{"role": "user", "content": "Who is a clever bird?"}]
        said = session.retry_provider(["parrot"]).create_completion("", messages)
        assert "".join(said).strip() == "Who is a clever bird?"


def rows_of(table: str) -> list[list[str]]:
    """The rows of a table of text up to the first line that is none, without their heads."""
    lines = table.splitlines()[1:]
    cells = [re.split(r"\s{2,}", line.strip()) for line in lines]
    return [
        re.split(r"\s+", row[0], maxsplit=1) + row[1:] if row[0][:2] in ("✗ ", "✓ ") else row
        for row in cells
        if len(row) > 3
    ]


def toml_blocks() -> list[str]:
    """The parts of files that it shows, in their order."""
    return [block for text in markdown() for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL)]


def sentence(pattern: str) -> str:
    """What stands between backticks in its text."""
    (found,) = [match for text in markdown() for match in re.findall(pattern, text)]
    return str(found)


def markdown() -> list[str]:
    """Its text."""
    return [cell.source for cell in saved(STEM).document.cells if cell.cell_type == "markdown"]


def class_source(name: str) -> str:
    """A class of its own as it stands in a cell, without its registering."""
    return str(saved(STEM).cell(f"class {name}:").source).partition("\n\n\nnbretry.register")[0] + "\n"


def own_class(name: str) -> Any:
    """A class of its own."""
    namespace: dict[str, Any] = {}
    exec(class_source(name), namespace)
    return namespace[name]
