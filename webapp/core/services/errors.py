"""The error that a panel form or a command shows as it is."""

from __future__ import annotations


class ServiceError(Exception):
    """A request that can't be carried out. Its text is a sentence for people; *field* names the form's field."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        self.field = field
        super().__init__(message)
