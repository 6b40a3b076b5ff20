"""Tables as plain text."""

from __future__ import annotations

import pytest

from nbretry._utils.redaction import remember_secret
from nbretry.renderers.tables import table_html

SECRET = "a-secret-of-these-tests"


@pytest.fixture(autouse=True)
def known_secret() -> None:
    remember_secret(SECRET)


def test_a_column_of_short_words_claims_no_width() -> None:
    """In a table, room is held free for a long text, and not where there is a word or two."""
    table = table_html(("State",), [("ready",), ("failed once: ServerError: it is overloaded",)], wide=[0])
    assert ["min-width" in cell for cell in table.split("<td")[1:]] == [False, True]
