"""The argument parser that the subcommands of ``%nbretry`` share."""

from __future__ import annotations

import argparse
from typing import NoReturn

from nbretry.errors import ConfigError

__all__ = ["WordParser"]


class WordParser(argparse.ArgumentParser):
    """Argument parser for the words of a subcommand.

    Raises:
        ConfigError: the words are wrong.
    """

    def __init__(self) -> None:
        super().__init__(add_help=False, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message.removeprefix("argument "))
