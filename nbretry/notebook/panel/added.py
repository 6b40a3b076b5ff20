"""What the panel says about a provider that can be or was added: a line of HTML, and what to write into a file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nbretry._utils.redaction import mask
from nbretry._utils.text import one_line
from nbretry.config.settings_file import WrongTableError, checked_provider
from nbretry.config.toml_lines import table_text
from nbretry.errors import ConfigError
from nbretry.providers.http.clients import is_loopback
from nbretry.providers.keys import find_key
from nbretry.providers.services import PRESETS, ProviderTable
from nbretry.renderers.roster import key_text
from nbretry.session.plan import roster
from nbretry.session.session import Session

__all__ = ["added_html", "keep_html", "mistake_html", "offered_html", "words_on"]

_LONGEST_LINE = 300


def words_on(session: Session, names: Sequence[str]) -> dict[str, str]:
    """Describe each of these providers in a few words, such as ``no key: set GROQ_API_KEY``.

    Args:
        session: the session that knows the providers.
        names: names of the providers.

    Returns:
        The words by name; empty for a provider about which nothing is known before it is loaded.
    """
    described = session.settings.readable_providers()
    return {name: mask(_words_on(name, described.get(name))) for name in names}


def offered_html(session: Session, name: str) -> str:
    """Return the line that says that a known provider is offered now."""
    return _line_html("✓", f"{_safe(name)} is offered now{_key_html(session, name)}")


def added_html(session: Session, table: ProviderTable, *, is_again: bool) -> str:
    """Return the line that says that a provider was added.

    Args:
        session: the session that knows the provider.
        table: the description of the provider.
        is_again: whether it has replaced a provider that was added before.
    """
    name = _safe(table.name)
    told = f"{name} was {'replaced' if is_again else 'added'}: <code>%%ask -p {name}</code> asks it"
    if table.model is None and not is_loopback(table.base_url or ""):
        told += " · model: none yet, choose one under Providers"
    return _line_html("✓", told + _key_html(session, table.name))


def mistake_html(text: str) -> str:
    """Return the line that reports a mistake."""
    return _line_html("✗", _safe_line(text))


def keep_html(table: ProviderTable) -> str:
    """Return what to write into which settings file to keep a provider for later sessions. It contains no key."""
    values = {
        key: value
        for key in ("kind", "base_url", "model", "key_variable")
        if (value := getattr(table, key)) is not None and (key, value) != ("kind", "openai")
    }
    path: tuple[str, ...] = ("provider", table.name)
    try:
        checked_provider(table.name, values, of_project=True)
        path = ("tool", "nbretry", *path)
        where, why = "<code>pyproject.toml</code>", ""
    except WrongTableError as wrong:
        where = "your own <code>config.toml</code> (<code>%nbretry config</code> says where)"
        why = f'<div class="nbretry-quiet">Not into pyproject.toml: {_safe_line(str(wrong))}.</div>'
    told = f"<div>To have {_safe(table.name)} tomorrow, too, write into {where}:</div>"
    return f"{told}<pre>{_safe(table_text(path, values))}</pre>{why}"


def _key_html(session: Session, name: str) -> str:
    """Return whether a provider's key is set, and what to do if it is not."""
    try:
        (entry,) = roster(session, [name])
    except ConfigError as error:
        return f" · {_safe_line(str(error))}"
    if entry.key is None:
        return ""
    if entry.key != "not set":
        return f" · key: {_safe(key_text(entry.key, entry.key_variable, entry.key_source))}"
    return (
        f" · key: not set — set <code>{_safe(entry.key_variable or '')}</code> in the environment or in .env, "
        f"or run <code>%nbretry key {_safe(name)}</code>"
    )


def _words_on(name: str, table: ProviderTable | None) -> str:
    service = PRESETS.get(name)
    if table is None and service is None:
        return ""
    variable = None if service is None or (table and table.base_url) else service.key_variable
    if table is not None:
        variable = table.key_variable or variable
    if variable:
        key = "key is set" if find_key(variable) else f"no key: set {variable}"
        return f"{key} ({table.source})" if table is not None else key
    if table is not None:
        return table.source
    return "the model on this machine" if service and service.kind == "local" else "server on this machine"


def _line_html(sign: str, html: str) -> str:
    kind = "good" if sign == "✓" else "bad"
    return f'<span role="status"><span class="nbretry-{kind}">{sign}</span> {html}</span>'


def _safe_line(text: str) -> str:
    return escape(one_line(mask(text), _LONGEST_LINE))


def _safe(text: str) -> str:
    return escape(mask(text))
