"""The panel's views, one file each, in the order of the menu."""

from __future__ import annotations

from flask_admin import BaseView

from .account import AccountView
from .api_keys import ApiKeyView
from .domains import DomainView
from .people import PeopleView
from .smtp_users import SmtpUserView


def all_views() -> list[BaseView]:
    """The views to register, but for the start page."""
    return [DomainView(), SmtpUserView(), ApiKeyView(), PeopleView(), AccountView()]
