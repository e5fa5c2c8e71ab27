"""Row actions beyond Flask-Admin's view, edit and delete: a dialog, or a POST with a question first."""

from collections.abc import Callable
from typing import Any

from flask_admin.model.template import BaseListRowAction
from jinja2.runtime import Context
from markupsafe import Markup

TextOf = str | Callable[[Any], str]


def _for(row: Any, value: TextOf) -> str:
    return value(row) if callable(value) else value


class _EndpointRowAction(BaseListRowAction):
    """A button leading to `endpoint?id=ROW`; what it shows may be a string or a function of the row."""

    macro = ""

    def __init__(
        self,
        endpoint: str,
        *,
        icon: TextOf,
        title: TextOf,
        visible: Callable[[Any], bool] | None = None,
        **extra: TextOf,
    ) -> None:
        super().__init__(title=None)
        self._endpoint = endpoint
        self._icon = icon
        self._title = title
        self._visible = visible
        self._extra = extra

    def render(self, context: Context, row_id: str, row: Any) -> Markup:
        if self._visible is not None and not self._visible(row):
            return Markup("")
        get_url = context.resolve("get_url")
        return_url = context.resolve("return_url")
        macro = self._resolve_symbol(context, f"row_actions.{self.macro}")
        extra = {name: _for(row, value) for name, value in self._extra.items()}
        return macro(
            url=get_url(self._endpoint, id=row_id, url=return_url),
            icon_name=_for(row, self._icon),
            title=_for(row, self._title),
            **extra,
        )


class LinkRowAction(_EndpointRowAction):
    """Goes to a page."""

    macro = "link_button"


class ModalRowAction(_EndpointRowAction):
    """Opens a dialog whose content is what `endpoint` answers to GET. `text` is shown beside the icon
    (the number of ranges at a closed lock, say); `tone` is a Tabler colour such as `green`."""

    macro = "modal_button"


class PostRowAction(_EndpointRowAction):
    """POSTs to `endpoint`, after asking `confirm` when it is given. `confirm_button` is the text of the
    button that agrees; `tone` is `danger` for what can't be undone."""

    macro = "post_button"
