"""A system keyring that is kept in a dictionary, by the interface that `keyring` asks of its backends."""

from __future__ import annotations

import keyring.backend
import keyring.errors


class MemoryKeyring(keyring.backend.KeyringBackend):
    """Keeps passwords while its process runs.

    Attributes:
        passwords: by service and user.
        failure: what asking for a password raises in place of an answer.
        asked: which passwords were asked for, in order.
    """

    priority = 1  # type: ignore[assignment]  # a property of its class in the base

    def __init__(self) -> None:
        super().__init__()
        self.passwords: dict[tuple[str, str], str] = {}
        self.failure: Exception | None = None
        self.asked: list[tuple[str, str]] = []

    def get_password(self, service: str, username: str) -> str | None:
        self.asked.append((service, username))
        if self.failure is not None:
            raise self.failure
        return self.passwords.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.failure is not None:
            raise self.failure
        self.passwords[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.passwords.pop((service, username), None) is None:
            raise keyring.errors.PasswordDeleteError("there is none")
