"""The widths of the columns of a table."""

from __future__ import annotations

from nbretry.renderers.tables import table_html


def test_a_column_of_short_words_claims_no_width() -> None:
    """In a table, room is held free for a long text, and not where there is a word or two."""
    table = table_html(("State",), [("ready",), ("failed once: ServerError: it is overloaded",)], wide=[0])
    assert ["min-width" in cell for cell in table.split("<td")[1:]] == [False, True]
