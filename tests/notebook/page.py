"""Reads HTML as a browser would: what it would run, load or lead to."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urlsplit

from nbretry.renderers.code_colours import STYLE_SHEET

ACTIVE = {"script", "style", "iframe", "object", "embed", "form", "link", "meta", "base", "audio", "video"}
ADDRESSES = ("src", "href", "srcset", "data", "action", "poster", "xlink:href")
OUR_PICTURE = "img src=data:image/svg+xml,"
"""The report's time line; a picture in an image tag runs nothing."""
VOID = {"img", "br", "hr", "col", "input"}


class Page(HTMLParser):
    """A page, or a part of one.

    Args:
        page: the HTML.
    """

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.wrong_ends: list[str] = []
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(page.replace(STYLE_SHEET, ""))  # the only one that may be there
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name.startswith("on"):
                self.handlers.append(f"{tag} {name}={value}")
            if name in ADDRESSES:
                self.addresses.append(f"{tag} {name}={value}")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.wrong_ends.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data

    def assert_well_formed(self) -> None:
        """Each tag ends, and in the right order."""
        assert (self.wrong_ends, self.open) == ([], [])

    def assert_harmless(self) -> None:
        """Nothing of it runs, nothing is loaded when it is shown, and no link leads to code."""
        assert not ACTIVE & set(self.tags)
        assert self.handlers == []
        for address in self.addresses:
            if address.startswith(OUR_PICTURE):
                continue
            scheme = urlsplit(address.partition("=")[2].strip()).scheme
            assert address.startswith("a href="), f"loaded when it is shown: {address}"
            assert scheme in ("", "http", "https"), f"leads to code: {address}"
