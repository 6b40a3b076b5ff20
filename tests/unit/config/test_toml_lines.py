"""Lines of TOML: written, replaced and removed without touching the others."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nbretry.config.toml_lines import key_lines


def test_lines_of_every_way_to_write_a_key() -> None:
    """Dotted and quoted keys, tables, arrays, inline tables and texts over several lines are counted right."""
    text = (
        "# comment = 1\n"
        "a = 1 # x = 2\n"
        'b . "c.d" = "x # [y]"\n'
        "'quoted key' = '''\n[not.a.table]\nz = 1\n'''\n"
        "[tool.nbretry]\n"
        'providers = [ "a", # ]\n  "b",\n]\n'
        'system = """x\ny = 3 \\""" z"""""\n'
        '[ tool . nbretry . "provider" . lab ] # lab\n'
        "kind = 'openai'\n"
        "t = { x = 1, y.z = [ {k=1}, {m=2} ] }\n"
        '"\\u0061b" = 1979-05-27 07:32:00Z\n'
        "[[many]]\n[[many]]\nlast = -inf"
    )
    tomllib.loads(text)
    lines = key_lines(text)
    assert {path: line for path, line in lines.items() if path[0] != "tool"} == {
        ("a",): 2,
        ("b",): 3,
        ("b", "c.d"): 3,
        ("quoted key",): 4,
        ("many",): 18,
        ("many", "last"): 20,
    }
    lab = ("tool", "nbretry", "provider", "lab")
    assert lines["tool", "nbretry"] == 8
    assert lines["tool", "nbretry", "providers"] == 9
    assert lines["tool", "nbretry", "system"] == 12
    assert lines[lab] == 14
    assert lines[*lab, "kind"] == 15
    assert lines[*lab, "t", "y", "z", "m"] == 16
    assert lines[*lab, "ab"] == 17


_NAMES = st.text(st.sampled_from("ab_-. \"'#=[]\\é🙂"), max_size=4)


_VALUES = st.one_of(st.integers(-9, 9), st.booleans(), st.text(st.sampled_from("a\"'#=[]{}\n\\é"), max_size=8))


_TABLES: Any = st.recursive(
    st.dictionaries(_NAMES, st.one_of(_VALUES, st.lists(_VALUES, max_size=3)), max_size=3),
    lambda inner: st.dictionaries(_NAMES, st.one_of(_VALUES, inner), max_size=3),
    max_leaves=12,
)


@given(_TABLES, st.randoms(use_true_random=False))
def test_lines_of_any_table(table: dict[str, Any], random: Any) -> None:
    """Of any table, however it is written, each key that `tomllib` finds is found in the line in which it stands."""
    lines: list[str] = []
    stands: dict[tuple[str, ...], int] = {}

    def quoted(name: str) -> str:
        if name and all(character in "ab_-" for character in name) and random.random() < 0.7:
            return name
        if "'" not in name and random.random() < 0.5:
            return f"'{name}'"
        return json.dumps(name, ensure_ascii=False)

    def value(written: Any) -> str:
        if isinstance(written, dict):
            return "{" + ", ".join(f"{quoted(name)} = {value(inner)}" for name, inner in written.items()) + "}"
        if isinstance(written, list):
            return "[\n" + "".join(f"  {value(one)}, # ]\n" for one in written) + "]"
        if (
            isinstance(written, str)
            and "'''" not in written
            and written[-1:] not in ("", "'")
            and random.random() < 0.3
        ):
            return f"'''{written}'''"
        return json.dumps(written, ensure_ascii=False)

    def line_now() -> int:
        return "\n".join([*lines, ""]).count("\n") + 1

    def remember(path: tuple[str, ...], written: Any, line: int) -> None:
        stands.setdefault(path, line)
        if isinstance(written, dict):
            for name, inner in written.items():
                # The values before it may have taken lines of their own.
                remember((*path, name), inner, -1)

    def write(path: tuple[str, ...], content: dict[str, Any]) -> None:
        plain = {name: one for name, one in content.items() if not isinstance(one, dict) or random.random() < 0.2}
        for name, one in plain.items():
            if random.random() < 0.3:
                lines.append("# comment = [")
            remember((*path, name), one, line_now())
            lines.append(f"{quoted(name)} = {value(one)}")
        for name, one in content.items():
            if name not in plain:
                stands.setdefault((*path, name), line_now())
                lines.append(f"[{'.'.join(map(quoted, (*path, name)))}]")
                write((*path, name), one)

    write((), table)
    text = "\n".join(lines)

    def paths(content: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
        if not isinstance(content, dict):
            return {path}
        return {path, *(inner for name, one in content.items() for inner in paths(one, (*path, name)))}

    found = key_lines(text)
    assert set(found) == paths(tomllib.loads(text)) - {()}
    assert {path: line for path, line in stands.items() if line > 0}.items() <= found.items()


@given(st.text(st.sampled_from("ab=.[]{}\"'#\n\\ ,1"), max_size=60))
def test_lines_of_any_text(text: str) -> None:
    """Any text, TOML or not, is read to its end or its first mistake; no line is beyond the text."""
    assert all(1 <= line <= text.count("\n") + 1 for line in key_lines(text).values())
