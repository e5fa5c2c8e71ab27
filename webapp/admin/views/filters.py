"""Filters that several lists share."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from flask_admin.contrib.sqla.filters import BaseSQLAFilter


class _Day(BaseSQLAFilter):
    """A day in UTC."""

    def clean(self, value: str) -> datetime:
        """Raise `ValueError` unless it is ``YYYY-MM-DD``."""
        day = date.fromisoformat(value)
        if not 1970 <= day.year < 9999:
            raise ValueError(value)
        return datetime(day.year, day.month, day.day, tzinfo=UTC)


class Since(_Day):
    """That day or later."""

    def operation(self) -> str:
        """As it is shown."""
        return "on or after"

    def apply(self, query: Any, value: datetime, alias: Any = None) -> Any:
        """From midnight on."""
        return query.filter(self.get_column(alias) >= value)


class Until(_Day):
    """That day or earlier."""

    def operation(self) -> str:
        """As it is shown."""
        return "on or before"

    def apply(self, query: Any, value: datetime, alias: Any = None) -> Any:
        """To the next midnight."""
        return query.filter(self.get_column(alias) < value + timedelta(days=1))
