"""What the tutorial about failures claims is so."""

from __future__ import annotations

from page import Page
from tutorial import NOTEBOOKS, SANITIZE, Executed, Tutorial, saved

from nbretry import Cooldown, RetryPolicy
from nbretry.config.schema import SETTINGS

TWICE = ("yes", "yes")
NEXT = ("no", "yes")
STOP = ("no", "no")


class TestFailover(Tutorial):
    stem = "03-failover"
    strict = True

    def test_first_question(self, ran: Executed) -> None:
        """The busy provider fails, the good one answers, and the line says so."""
        words = "%%ask -p busy,good"
        assert ran.attempts(words) == [("busy", "failed"), ("good", "answered")]
        assert ran.answer(words) == "Here I am."
        assert line_of(ran, words).startswith("good · ")
        assert line_of(ran, words).endswith(" · failed: busy")

    def test_table_of_faults(self, ran: Executed) -> None:
        """Each fault, played, is followed by what the README's table says."""
        rows = [row.strip("| ").split(" | ") for row in ran.shown("FAULTS = {", "text/markdown").splitlines()[2:]]
        assert [
            (script.strip("`"), exception.strip("`"), (again, next_one))
            for _, script, exception, again, next_one in rows
        ] == [
            ("reset", "APIConnectionError", TWICE),
            ("hang", "APITimeoutError", TWICE),
            ("500", "ServerError", TWICE),
            ("503", "ServerError", TWICE),
            ("empty", "EmptyResponseError", TWICE),
            ("badjson", "StreamInterruptedError", TWICE),
            ("cut", "StreamInterruptedError", TWICE),
            ("429 retry-after=0.05", "RateLimitError", TWICE),
            ("429 retry-after=60", "RateLimitError", NEXT),
            ("401", "AuthenticationError", NEXT),
            ("402", "PermissionDeniedError", NEXT),
            ("403", "PermissionDeniedError", NEXT),
            ("404", "NotFoundError", NEXT),
            ("400 message='prompt is too long'", "ContextLengthError", NEXT),
            ("400", "BadRequestError", STOP),
            ("422", "BadRequestError", STOP),
            ("'Hello' cut", "StreamInterruptedError", TWICE),
            ("'Hello' cut", "StreamInterruptedError", TWICE),
            ("'Hello' cut", "StreamInterruptedError", STOP),
        ]
        assert [what.rpartition(": ")[2] for what, *_ in rows[-3:]] == ["restart", "continue", "raise"]

    def test_second_round(self, ran: Executed) -> None:
        """The one whose failure was passing is asked again when all have been asked, and the other one is not."""
        words = "%%ask -p flaky,unpaid"
        assert ran.attempts(words) == [("flaky", "failed"), ("unpaid", "failed"), ("flaky", "answered")]
        assert [attempt.get("next_step") for attempt in ran.record(words)["attempts"]] == ["fallback", "fallback", None]

    def test_retry(self, ran: Executed) -> None:
        """With ``--retries`` the first choice is asked again, after the wait that it named, before anybody else."""
        words = "--retries 1"
        assert ran.attempts(words) == [("limited", "failed"), ("limited", "answered")]
        first, second = ran.record(words)["attempts"]
        assert (first["next_step"], first["wait_for"]) == ("retry", 0.1)
        assert second["started"] - first["ended"] >= 0.1
        assert "asked again after 0.10 s" in report_of(ran, words)

    def test_restart(self, ran: Executed) -> None:
        """After a stream that dies midway the answer is the next provider's alone; the lost text is in the report."""
        words = "%%ask -p breaks-off,another\n"
        assert ran.attempts(words) == [("breaks-off", "failed"), ("another", "answered")]
        assert ran.answer(words) == "Blue light is scattered more than red light."
        assert "the text it had sent" in report_of(ran, words)
        assert "The sky is blue because" in report_of(ran, words)

    def test_continue(self, ran: Executed) -> None:
        """With ``continue`` the text is that of both, and the line names both."""
        words = "--on-break continue"
        assert ran.answer(words) == ("The sky is blue because blue light is scattered more than red light.")
        assert line_of(ran, words).startswith("breaks-off + goes-on · ")
        assert ran.record(words)["attempts"][0]["next_step"] == "continue"

    def test_raise(self, ran: Executed) -> None:
        """With ``raise`` the cell fails, nobody else is asked, and the text is kept."""
        words = "--on-break raise"
        assert ran.attempts(words) == [("breaks-off", "failed")]
        assert ran.answer(words) == "The sky is blue because"
        assert error_of(ran, words)[0] == "breaks-off broke off after it had begun to answer:"

    def test_silence(self, ran: Executed) -> None:
        """The silent provider is given up at its own deadline."""
        words = "%%ask -p silent,good"
        assert ran.attempts(words) == [("silent", "failed"), ("good", "answered")]
        failed = ran.record(words)["attempts"][0]
        assert failed["exception"] == {"type": "APITimeoutError", "message": "no content came within 0.3 s"}
        assert failed["ended"] - failed["started"] >= 0.3

    def test_hedging(self, ran: Executed) -> None:
        """The next one is asked beside the slow one, speaks first, and the slow one is stopped: it has not failed."""
        words = "--hedge-after 0.2"
        assert ran.attempts(words) == [("slow", "cancelled"), ("good", "answered")]
        slow, good = ran.record(words)["attempts"]
        assert slow["started"] + 0.2 <= good["started"] < slow["ended"] < 20
        assert "cancelled: good was quicker" in report_of(ran, words)
        assert "failed" not in line_of(ran, words)

    def test_cooldown(self, ran: Executed) -> None:
        """After two failures the provider is not asked, until its rest has been ended."""
        assert ran.printed("Cooldown(failures=2").splitlines() == [
            "down failed, spare answered",
            "down failed, spare answered",
            "down skipped, spare answered",
            "down skipped, spare answered",
            "→ down is resting, spare is ready",
            "down answered",
        ]

    def test_cost(self, ran: Executed) -> None:
        """Who is too dear is not asked; the half answer is nearly all of the cost."""
        words = "--max-cost 0.05"
        assert ran.attempts(words) == [("golden", "skipped"), ("dear", "failed"), ("cheap", "answered")]
        record = ran.record(words)
        costs = [attempt.get("cost", 0.0) for attempt in record["attempts"]]
        assert record["cost"] == sum(costs) < 0.05
        assert costs[0] == 0.0
        assert costs[1] > 0.9 * record["cost"]
        assert "skipped: asking it would cost about $1.01" in report_of(ran, words)

    def test_nobody_answers(self, ran: Executed) -> None:
        """The cell fails, and its short error has a reason for everybody; the refused key is not asked twice."""
        words = "%%ask -p no-key,down"
        assert ran.attempts(words) == [("no-key", "failed"), ("down", "failed"), ("down", "failed")]
        reason = "down: ServerError: the database is on fire"
        refused = "no-key: AuthenticationError: this key is not known"
        assert error_of(ran, words) == ["every provider failed:", refused, reason, reason]
        assert line_of(ran, words).startswith("nobody answered · ")

    def test_on_the_wire(self, ran: Executed) -> None:
        """The same scripts on a real connection have the same end, and the server saw each request."""
        printed = ran.printed("with FaultServer")
        assert printed == "Hello over the wire.\n['first', 'second', 'third']\n"

    def test_fails_only_where_it_says_so(self, ran: Executed) -> None:
        """No cell has a warning, and a failing cell shows its report and a short error: no traceback."""
        for cell in ran.document.cells:
            for output in cell.get("outputs", []):
                assert output.get("name") != "stderr", cell.source
                if output.output_type == "error":
                    assert output.ename == "RetryProviderError"
                    assert "Traceback" not in "\n".join(output.traceback)

    def test_tells_how_to_test_a_notebook(self) -> None:
        """What it tells readers to give to nbval is what it is tested with itself, and every question is compared."""
        document = saved(self.stem).document
        text = next(cell.source for cell in document.cells if "NBRETRY_PAINT=once" in cell.source)
        told = {line.strip() for line in text.splitlines() if line.strip().startswith(("regex:", "replace:"))}
        assert told == {line for line in SANITIZE.read_text().splitlines() if line.startswith(("regex:", "replace:"))}
        assert not [cell for cell in document.cells if "nbval-ignore-output" in cell.metadata.get("tags", [])]

    def test_numbers_are_the_defaults(self) -> None:
        """What the text says that happens by default does, and its table says the same for a cell and for Python."""
        assert RetryPolicy().retry_after_max == 30
        assert (Cooldown().failures, Cooldown().rest_initial) == (3, 10)
        texts = [cell.source for cell in saved(self.stem).document.cells if cell.cell_type == "markdown"]
        table = next(text for text in texts if text.startswith("| What matters to you"))
        rows = [row.strip("| ").split(" | ") for row in table.split("\n\n")[0].splitlines()[2:]]
        assert [cell for _, cell, _ in rows] == [
            "nothing: this is the default",
            "`--retries 2`",
            "`%nbretry config rounds 5`",
            "`%nbretry config rounds 1`",
        ]
        assert [policy for _, _, policy in rows] == [
            "`RetryPolicy(rounds=2)`",
            "`RetryPolicy(max_attempts=3)`",
            "`RetryPolicy(rounds=5)`",
            "`RetryPolicy()`",
        ]
        assert (SETTINGS["rounds"].default, SETTINGS["retries"].default) == (2, 0)
        assert (RetryPolicy().rounds, RetryPolicy().max_attempts) == (1, 1)

    def test_pictures_are_there(self) -> None:
        """Each picture that the text shows is in the repository, and is small."""
        names = [word for cell in saved(self.stem).document.cells for word in cell.source.split("](")[1:]]
        pictures = [NOTEBOOKS / name.split(")")[0] for name in names if name.startswith("images/")]
        assert pictures
        assert all(path.stat().st_size < 150_000 for path in pictures)


def report_of(ran: Executed, words: str) -> str:
    """The text of the report, its folds opened."""
    return Page(ran.report(words)).text


def line_of(ran: Executed, words: str) -> str:
    """The line under the answer."""
    shown = [output.get("data", {}) for output in ran.cell(words).outputs]
    return str(next(data["text/plain"] for data in shown if "nbretry-report" in data.get("text/html", ""))).split("\n")[
        0
    ]


def error_of(ran: Executed, words: str) -> list[str]:
    """What the cell failed with, line by line."""
    return next(o.evalue for o in ran.cell(words).outputs if o.output_type == "error").splitlines()
