"""Files of settings: the user's own and that of a project."""

from __future__ import annotations

import os
from pathlib import Path


def user_file(home: Path, text: str) -> None:
    path = home / "config.toml"
    path.write_text(text, encoding="utf-8")
    os.environ["NBRETRY_CONFIG"] = str(path)


def project_file(text: str, directory: Path | None = None) -> Path:
    path = (directory or Path.cwd()) / "pyproject.toml"
    path.write_text(text, encoding="utf-8")
    return path
