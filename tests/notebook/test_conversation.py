"""Conversations in a real kernel: `-c` and `--new`, `%nbretry history` and `%nbretry forget`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kernel import Kernel, kernel, says
from page import Page

SECRET = "sk-" + "0123456789abcdefghij"
LISTENER = """
from nbretry.session.session import default_session
from nbretry.testing import simulate

class Listener:
    '''Answers with how many messages it was sent, and keeps them.'''
    heard = []
    async def create_async_generator(self, model, messages, **options):
        Listener.heard.append(messages)
        yield f"That makes {len(messages)}."

nbretry.register("listener", Listener())
conversations = default_session().conversations
"""


@pytest.fixture(scope="module")
def module_kernel(shared_kernel: Kernel) -> Kernel:
    ran = shared_kernel.run(LISTENER)
    assert not ran.failed, ran.traceback
    return shared_kernel


@pytest.fixture
def talk(module_kernel: Kernel, nb: Kernel) -> Kernel:
    """The module's kernel without a conversation."""
    nb.run("conversations.forget_all(); Listener.heard.clear()")
    return nb


def heard(nb: Kernel) -> list[tuple[str, Any]]:
    """The messages of the last question to the listener."""
    return [tuple(one) for one in nb.value("[(one['role'], one['content']) for one in Listener.heard[-1]]")]


def turns(nb: Kernel, name: str = "main") -> list[tuple[Any, str, str]]:
    """Question, answer and state of each turn."""
    them = nb.value(f"[(t.question, t.answer, t.state) for t in conversations.open({name!r}).turns]")
    return [tuple(one) for one in them]


def test_conversation_goes_on(talk: Kernel) -> None:
    """With ``-c`` the next provider hears what the one before said; without it a question stands by itself."""
    for cell in (
        "%%ask -c -p good\nWhy?",
        "%%ask -p listener\nAlone?",
        "%%ask -p dead,listener -c\nAnd then?",
    ):
        ran = talk.run(cell)
        assert not ran.failed, ran.traceback
    assert heard(talk) == [("user", "Why?"), ("assistant", "The sky is **blue**."), ("user", "And then?")]
    assert [len(one) for one in talk.value("Listener.heard")] == [1, 3]
    assert turns(talk)[1] == ("And then?", "That makes 3.", "completed")


def test_conversations_are_apart(talk: Kernel) -> None:
    """Each name is a conversation of its own; the system prompt of one holds there until another is given."""
    talk.run('%%ask -c lab -p listener -s "Be brief."\nOne?')
    talk.run("%%ask -c -p listener\nTwo?")
    assert heard(talk) == [("user", "Two?")]
    talk.run("%%ask -c lab -p listener\nThree?")
    assert heard(talk)[0] == ("system", "Be brief.")
    assert [text for _, text in heard(talk)[1:]] == ["One?", "That makes 2.", "Three?"]
    talk.run('%%ask -c lab -p listener -s ""\nFour?')
    assert heard(talk)[0] == ("user", "One?")


def test_new_starts_afresh(talk: Kernel) -> None:
    """``--new`` forgets what was said, and the conversation goes on from there."""
    talk.run("%%ask -c lab -p good -s Brief.\nOne?")
    talk.run("%%ask -c -p good\nOther?")
    talk.run("%%ask -c lab --new -p listener\nTwo?")
    assert heard(talk) == [("user", "Two?")]
    talk.run("%%ask -c lab -p listener\nThree?")
    assert [text for _, text in heard(talk)] == ["Two?", "That makes 1.", "Three?"]
    assert len(turns(talk)) == 1
    talk.run("%%ask --new -p listener\nMain?")
    assert [question for question, _, _ in turns(talk)] == ["Main?"]


@pytest.mark.parametrize(
    "cell",
    [
        "%%time\n%%ask -c lab -p listener\nAnd?",
        "%%ask --conversation=lab -p listener\nAnd?",
        "x = %ask -c=lab -p listener And?",
        "await asyncio.sleep(0)\nx = %ask -c=lab -p listener And?",
        "get_ipython().run_cell('%%ask -c lab -p listener\\nAnd?')",
        "%%capture kept\n%%ask -c lab -p listener\nAnd?",
    ],
)
def test_wherever_it_stands(talk: Kernel, cell: str) -> None:
    """A conversation goes on in every way to run a question, and each question is added once."""
    talk.run("%%ask -c lab -p listener\nWhy?")
    ran = talk.run(cell)
    assert not ran.failed, ran.traceback
    assert [text for _, text in heard(talk)] == ["Why?", "That makes 1.", "And?"]
    assert [question for question, _, _ in turns(talk, "lab")] == ["Why?", "And?"]


def test_on_one_line_the_word_that_follows_is_the_question(talk: Kernel) -> None:
    """``%ask -c lab …`` asks the conversation without a name; ``-c=lab`` names one."""
    talk.run("%ask -p listener -c lab is what?")
    assert turns(talk) == [("lab is what?", "That makes 1.", "completed")]


def test_failed_question_adds_nothing(talk: Kernel) -> None:
    """A question that nobody answered, one that broke off and one with a mistake leave the conversation as it was."""
    talk.run("%%ask -c -p good\nWhy?")
    for cell in (
        "%%ask -c -p dead\nAnd?",
        "%%ask -c -p broken --on-break raise\nAnd?",
        "%%ask -c -p goood\nAnd?",
        "%%ask -c -p good\n  ",
    ):
        assert talk.run(cell).failed
        assert [question for question, _, _ in turns(talk)] == ["Why?"]
    talk.run("%%ask -c -p listener\nAnd?")
    assert [text for _, text in heard(talk)] == ["Why?", "The sky is **blue**.", "And?"]


@pytest.mark.parametrize("cell", ["%%ask -c -p slow\nCount.", "%%time\n%%ask -c -p slow\nCount."])
def test_stopped_answer_is_kept_as_far_as_it_came(talk: Kernel, cell: str) -> None:
    """What had come when the question was stopped is kept, marked, and sent with the next question."""
    ran = talk.run(cell, interrupt_when=says("word3"))
    assert ran.raised
    partial = talk.value("_answer.text")
    assert partial.startswith("word0 word1")
    assert turns(talk) == [("Count.", partial, "stopped")]
    talk.run("%%ask -c -p listener\nGo on.")
    assert heard(talk) == [("user", "Count."), ("assistant", partial), ("user", "Go on.")]
    assert "stopped" in talk.run("%nbretry history main").plain


def test_stopped_before_it_began_adds_nothing(talk: Kernel) -> None:
    """A question that is stopped before any text has come is no turn."""
    talk.run("%%ask -c -p hung\nCount.", interrupt_when=says("asking hung"))
    assert turns(talk) == []


def test_dry_run_changes_nothing(talk: Kernel) -> None:
    """``--dry-run`` shows what would be sent of the conversation, and starts none afresh."""
    talk.run("%%ask -c -p good\nWhy?")
    for cell in ("%%ask -c -p listener --dry-run\nAnd?", "%%ask --new -p listener --dry-run\nAnd?"):
        ran = talk.run(cell)
        assert not ran.failed, ran.traceback
    assert [question for question, _, _ in turns(talk)] == ["Why?"]
    assert "Why?" in talk.run("%%ask -c -p listener --dry-run\nAnd?").plain


def test_filled_in_data_is_what_was_asked(talk: Kernel) -> None:
    """The question is kept as it was sent, with the notebook's own data filled in, which may change afterwards."""
    talk.run("answer_to_all = 42")
    ran = talk.run("%%ask -c -p good\nWhy {{ answer_to_all }}?")
    assert not ran.failed, ran.traceback
    talk.run("answer_to_all = 43")
    talk.run("%%ask -c -p listener\nAnd {{ answer_to_all }}, {'a': [1]}?")
    assert [text for _, text in heard(talk)][::2] == ["Why 42?", "And 43, {'a': [1]}?"]


def test_history_lists_conversations(talk: Kernel) -> None:
    """``history`` is a table with each conversation's length, who answered last, and the question's first words."""
    assert talk.run("%nbretry history").plain == "There is no conversation yet: %%ask -c begins one."
    talk.run("%%ask -c -p good\nWhy?")
    talk.run("%%ask -c -p dead,listener\nAnd <b>then</b>?\nOn a second line.")
    talk.run("%%ask -c lab -p good\nשלום 👋")
    ran = talk.run("%nbretry history")
    assert [output.output_type for output in ran.outputs] == ["display_data"]
    head, *rows = [line.split() for line in ran.plain.splitlines()]
    assert head[:2] == ["Conversation", "Turns"]
    assert [row[:3] for row in rows] == [["main", "2", "listener"], ["lab", "1", "good"]]
    assert ran.plain.splitlines()[1].endswith("  And <b>then</b>? On a second line.")
    page = Page(ran.of_type("text/html")[0])
    page.assert_well_formed()
    page.assert_harmless()
    assert page.tags.count("tr") == 3
    assert "b" not in page.tags
    assert "שלום 👋" in page.text


def test_history_of_one(talk: Kernel) -> None:
    """``history NAME`` shows every question and answer with who gave it, answers as Markdown that runs nothing."""
    talk.run("%%ask -c lab -p good\nWhy <script>x</script>?")
    talk.run("%%ask -c lab -p dead,listener\nAnd?")
    ran = talk.run("%nbretry history lab")
    assert ran.plain.startswith("lab: 2 turns\n\nYou, ")
    assert "\nWhy <script>x</script>?\n\ngood:\nThe sky is **blue**.\n\nYou, " in ran.plain
    assert ran.plain.endswith("And?\n\nlistener:\nThat makes 3.")
    html = ran.of_type("text/html")[0]
    assert "<strong>blue</strong>" in html
    page = Page(html)
    page.assert_well_formed()
    page.assert_harmless()
    assert "Why <script>x</script>?" in page.text


def test_no_secret_in_a_history(talk: Kernel, tmp_path: Path) -> None:
    """A key in a question or an answer is masked where the conversation is shown, printed and saved."""
    talk.run(f"nbretry.register('telling', simulate([['Your key is {SECRET[:9]}', '{SECRET[9:]}.']]))")
    talk.run(f"told = '{SECRET[:9]}' '{SECRET[9:]}'")
    ran = talk.run("%%ask -c -p telling\nIs {{ told }} my key?")
    assert not ran.failed, ran.traceback
    assert [(SECRET in question, SECRET in answer) for question, answer, _ in turns(talk)] == [(True, True)]
    path = tmp_path / "talk.jsonl"
    save = f"%nbretry history --save {path}"
    for line in ("%nbretry history", "%nbretry history main", save, "conversations.open('main').turns"):
        ran = talk.run(line)
        assert not ran.failed, ran.traceback
        assert SECRET not in json.dumps([message["content"] for message in ran.messages])
    assert SECRET not in path.read_text(encoding="utf-8")
    assert path.read_text(encoding="utf-8").count("[secret]") == 2


def test_forget(talk: Kernel) -> None:
    """``forget`` takes the conversation without a name, those that are named, or all."""
    for name in ("main", "lab", "one", "two"):
        talk.run(f"%%ask -c {name} -p good\nWhy?")
    assert talk.run("%nbretry forget").plain == "main is forgotten"
    assert talk.value("conversations.names()") == ["lab", "one", "two"]
    talk.run("%%ask -c -p listener\nDo you remember?")
    assert heard(talk) == [("user", "Do you remember?")]
    assert talk.run("%nbretry forget one two").plain == "one, two are forgotten"
    assert talk.run("%nbretry forget --all").plain == "lab, main are forgotten"
    assert talk.value("conversations.names()") == []
    assert talk.run("%nbretry forget --all").plain == "there is no conversation to forget"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("forget", "there is no conversation named 'main'; known are lab"),
        ("forget labb", "there is no conversation named 'labb'; did you mean 'lab'?"),
        ("forget lab labb", "there is no conversation named 'labb'; did you mean 'lab'?"),
        ("forget lab --all", "--all forgets every conversation: name none beside it"),
        ("forget --al", "unrecognized arguments: --al"),
        ("history labb", "there is no conversation named 'labb'; did you mean 'lab'?"),
        ("history lab lab", "unrecognized arguments: lab"),
        ("history --save", "--save: expected one argument"),
        ("history --save a --load b", "--save and --load do not go together: write one of them"),
        ("history labb --save talk.jsonl", "there is no conversation named 'labb'; did you mean 'lab'?"),
        ("history --load missing.jsonl", "missing.jsonl cannot be read: No such file or directory"),
        ("history --save missing/talk.jsonl", "missing/talk.jsonl cannot be written: No such file or directory"),
        ("history --load broken.jsonl", "broken.jsonl, line 1, is no turn of a conversation: it is no JSON"),
    ],
)
def test_mistakes(talk: Kernel, line: str, message: str) -> None:
    """A mistake fails the cell in one line that says what would be right, and nothing is forgotten."""
    talk.run("%%ask -c lab -p good\nWhy?")
    talk.run("open('broken.jsonl', 'w').write('{');")
    assert talk.run(f"%nbretry {line}").traceback == f"ConfigError: {message}"
    assert talk.value("conversations.names()") == ["lab"]


def test_saved_in_one_kernel_and_loaded_in_another(talk: Kernel, tmp_path: Path, providers: str) -> None:
    """A conversation goes on in another kernel: the next provider hears all of it, and its system prompt."""
    talk.run('%%ask -c -p good -s "Be brief."\nWhy\u2028\u2029 "שלום" 👋 {x}?')
    talk.run("%%ask -c lab -p good\nHow?")
    path = tmp_path / "my talk.jsonl"
    assert talk.run(f'%nbretry history --save "{path}"').plain == f"2 turns saved to {path}: main (1), lab (1)"
    assert talk.run("%nbretry history lab --save lab.jsonl").plain == "1 turn saved to lab.jsonl: lab (1)"
    with kernel(tmp_path, "%load_ext nbretry", providers, LISTENER) as other:
        told = other.run("%nbretry history --load 'my talk.jsonl'")
        assert told.plain == "2 turns loaded from my talk.jsonl: main (1), lab (1)"
        other.run("%%ask -c -p listener\nAnd?")
        assert heard(other) == [
            ("system", "Be brief."),
            ("user", 'Why\u2028\u2029 "שלום" 👋 {x}?'),
            ("assistant", "The sky is **blue**."),
            ("user", "And?"),
        ]
        assert "good" in other.run("%nbretry history lab").plain


def test_answer_in_a_form(talk: Kernel) -> None:
    """Of an answer that was asked for again only the last one is kept, under the question and the system prompt as the
    user wrote them; the form is asked for beside the conversation's own system prompt."""
    talk.run("""nbretry.register('fumbling', simulate("'no JSON', '[1, 2]'"))""")
    ran = talk.run("%%ask -c -p fumbling -f json -s Brief.\nWhich numbers?")
    assert not ran.failed, ran.traceback
    assert turns(talk) == [("Which numbers?", "[1, 2]", "completed")]
    assert talk.value("conversations.open('main').system") == "Brief."
    talk.run("%%ask -c -p listener -f json --retries 0\nAnd?")
    (role, system), *said = heard(talk)
    assert role == "system"
    assert system.startswith("Brief.\n\n")
    assert "JSON" in system
    assert [text for _, text in said] == ["Which numbers?", "[1, 2]", "And?"]
    talk.run("%%ask -c -p listener\nWhy these?")
    assert heard(talk)[0] == ("system", "Brief.")


def test_answer_in_the_background(talk: Kernel) -> None:
    """A question in the background becomes part of its conversation when it is answered, and each only of its own."""
    talk.run("started = [get_ipython().run_line_magic('ask', f'--background -c={n} -p steady Count.') for n in 'ab']")
    ran = talk.run("for one in started:\n    await one")
    assert not ran.failed, ran.traceback
    for name in "ab":
        assert [(question, state) for question, _, state in turns(talk, name)] == [("Count.", "completed")]
    talk.run("%%ask -c a -p listener\nAnd?")
    assert [text for _, text in heard(talk)] == ["Count.", "".join(f"word{i} " for i in range(20)), "And?"]
