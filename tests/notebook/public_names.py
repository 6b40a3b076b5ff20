"""The public names of nbretry with the examples in their docstrings: what `test_docstrings` claims something about."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbretry
from nbretry.retry.async_bridge import class_or_instance_method

PACKAGE = Path(nbretry.__file__).parent

MODULES = (
    "nbretry",
    "nbretry.providers",
    "nbretry.testing",
    "nbretry.errors",
    "nbretry.events",
    "nbretry.types",
)
"""Every class and function in their ``__all__`` is a public name."""

MORE = {
    "nbretry.session": ("Question", "Session"),
    "nbretry.prices": ("Price", "PriceTable"),
    "nbretry.retry.health": ("ProviderHealth",),
    "nbretry.renderers.jsonlines": ("read_runs",),
}
"""Public names of modules that are not public whole."""

IN_KERNEL = ("nbretry.ask", "nbretry.load_ipython_extension", "nbretry.panel", "nbretry.unload_ipython_extension")
"""Their examples are cells."""

NEED_MODEL = ("nbretry.providers.LocalProvider",)
"""Their examples ask the model on this machine."""


@dataclass(frozen=True)
class Public:
    """A public name, or a public member of a public class.

    Attributes:
        name: as its user writes it, with its module.
        documented: what has the docstring.
        home: the module that a user imports it from.
    """

    name: str
    documented: Any
    home: str

    @property
    def docstring(self) -> str:
        return self.documented.__doc__ or ""

    @property
    def is_member(self) -> bool:
        """Whether it is a method or a property."""
        return self.name.removeprefix(f"{self.home}.").count(".") > 0

    @property
    def examples(self) -> list[doctest.Example]:
        return doctest.DocTestParser().get_examples(self.docstring, self.name)

    def doctest(self) -> doctest.DocTest:
        """Its examples, run where nothing is imported but the public names of its home."""
        home = importlib.import_module(self.home)
        names = (*MORE.get(self.home, ()), *(() if self.home in MORE else home.__all__))
        known = {name: getattr(home, name) for name in names}
        return doctest.DocTestParser().get_doctest(self.docstring, known, self.name, None, None)

    def place(self) -> tuple[str, str]:
        """The module and the qualified name under which its docstring is written."""
        inner = getattr(self.documented, "fget", None) or getattr(self.documented, "__func__", None) or self.documented
        return inner.__module__, inner.__qualname__


def public_names() -> list[Public]:
    """Every one once, by the shortest way to it."""
    found: dict[int, Public] = {}
    for home in (*MODULES, *MORE):
        module = importlib.import_module(home)
        for name in MORE.get(home) or module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                found.setdefault(id(thing), Public(f"{home}.{name}", thing, home))
    everything: list[Public] = []
    for public in found.values():
        everything.append(public)
        if inspect.isclass(public.documented):
            everything += members(public)
    return everything


def members(public: Public) -> Iterator[Public]:
    """The methods and properties of a public class that it has written itself, or has of ours from a base."""
    for attribute in inspect.classify_class_attrs(public.documented):
        thing = attribute.object
        written = isinstance(thing, class_or_instance_method | property | classmethod | staticmethod)
        ours = attribute.defining_class.__module__.partition(".")[0] == "nbretry"
        if not attribute.name.startswith("_") and ours and (written or inspect.isfunction(thing)):
            yield Public(f"{public.name}.{attribute.name}", thing, public.home)


def written_examples() -> set[tuple[str, str]]:
    """Module and qualified name of every docstring in the package's source that has an example; of a module's own the
    name is empty."""
    found: set[tuple[str, str]] = set()
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found |= {
            (module, name)
            for name, docstring in docstrings(ast.parse(file.read_text(encoding="utf-8")))
            if doctest.DocTestParser().get_examples(docstring)
        }
    return found


def docstrings(node: ast.AST, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """The qualified name and the text of every docstring in a module's source."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield ".".join(path), ast.get_docstring(node) or ""
        for inner in node.body:
            if isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from docstrings(inner, (*path, inner.name))
