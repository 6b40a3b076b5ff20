"""Helpers for the panel's views: create widgets that share layout and style, change them and close them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets

from nbretry._utils.serialization import whole_characters

__all__ = [
    "HIDDEN",
    "button",
    "close_inside",
    "close_looks",
    "inside",
    "make",
    "markup",
    "set_class",
    "set_traits",
    "show_html",
]

HIDDEN = "nbretry-hidden"
"""CSS class of a widget that is hidden and takes no space."""

_shared: dict[Any, dict[str, Any]] = {}


def make(kind: Any, *classes: str, **traits: Any) -> Any:
    """Create a widget of this kind with these CSS classes.

    Layout and style of a widget are separate models, in the kernel and in the page. The panel's appearance is defined
    in its style sheet, so all widgets of one kind share them. Pass ``layout`` or ``style`` to give a widget its own.

    The classes are part of the message that creates the widget, instead of one message for each class. ZeroMQ drops
    what a kernel sends beyond a thousand waiting messages, and a widget that lacks one of them is never shown.
    """
    looks = _shared.setdefault(kind, {})
    looks = {name: look for name, look in looks.items() if look.comm is not None and name not in traits}
    made = kind(_dom_classes=classes, **looks, **{name: _sendable(value) for name, value in traits.items()})
    for name in ("layout", "style"):
        if made.has_trait(name) and name not in traits:
            _shared[kind][name] = getattr(made, name)
    return made


def button(words: str, tooltip: str, click: Callable[[], None], icon: str = "", style: str = "") -> Any:
    """Create a button that calls a function without arguments."""
    made = make(ipywidgets.Button, description=words, tooltip=tooltip, icon=icon, button_style=style)
    made.on_click(lambda _: click())
    return made


def markup(*classes: str, html: str = "", mathematics: bool = False) -> Any:
    """Create a widget that shows HTML, which must be safe already."""
    return make(ipywidgets.HTMLMath if mathematics else ipywidgets.HTML, *classes, value=html)


def set_traits(widget: Any, **traits: Any) -> None:
    """Set only the traits whose values differ, so that nothing is sent for the others."""
    for name, given in traits.items():
        value = _sendable(given)
        if getattr(widget, name) != value:
            setattr(widget, name, value)


def set_class(widget: Any, name: str, on: bool) -> None:
    """Add a CSS class to a widget, or remove it."""
    if on:
        widget.add_class(name)
    else:
        widget.remove_class(name)


def show_html(widget: Any, html: str) -> None:
    """Show safe HTML; if it is empty, hide the widget."""
    set_traits(widget, value=html)
    set_class(widget, HIDDEN, not html)


def inside(widget: Any) -> Iterator[Any]:
    """Yield every widget within another, the innermost first."""
    for child in getattr(widget, "children", ()):
        yield from inside(child)
        yield child


def close_inside(widget: Any) -> None:
    """Close every widget within another."""
    for one in [*inside(widget)]:
        close_looks(one)
        one.close()


def close_looks(widget: Any) -> None:
    """Close the layout and the style of a widget, unless they are shared."""
    shared = [look for looks in _shared.values() for look in looks.values()]
    for name in ("layout", "style"):
        look = getattr(widget, name, None)
        if isinstance(look, ipywidgets.Widget) and not any(look is other for other in shared):
            look.close()


def _sendable(value: Any) -> Any:
    """Replace characters that a message to the page cannot contain: with them it would not be sent at all."""
    if isinstance(value, tuple | list):
        return type(value)(_sendable(one) for one in value)
    return whole_characters(value) if isinstance(value, str) else value
