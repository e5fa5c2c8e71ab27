"""Lists of tables that grow for ever: newest first, and never counted."""

from __future__ import annotations

from typing import Any

from flask import g

#: Beyond it nobody leafs; a larger figure is one that no database takes.
LAST_PAGE = 100_000


class NewestFirst:
    """Mixed into a `PanelModelView`. It asks for one row more than a page shows, to know whether there is another."""

    column_default_sort = ("id", True)

    def rows_ready(self, rows: list[Any]) -> None:
        """Called with the rows of a page before they are shown."""

    @property
    def has_next_page(self) -> bool:
        """Whether the list that was read last in this request goes on."""
        return g.get("has_next_page", False)

    def get_list(self, page: int | None, *args: Any, page_size: int | None = None, **kwargs: Any) -> Any:
        """Flask-Admin's hook."""
        size = page_size or self.page_size  # type: ignore[attr-defined]
        page = min(max(page or 0, 0), LAST_PAGE)
        _, rows = super().get_list(page, *args, page_size=size, **kwargs)  # type: ignore[misc]
        g.has_next_page = len(rows) > size
        rows = rows[:size]
        self.rows_ready(rows)
        return None, rows

    def _apply_pagination(self, query: Any, page: int, page_size: int) -> Any:
        return query.limit(page_size + 1).offset(page * page_size)
