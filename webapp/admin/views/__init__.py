"""The panel's views, one file each, in the order of the menu."""

from __future__ import annotations

from flask_admin import BaseView

from .account import AccountView
from .alerts import AlertsView
from .api_keys import ApiKeyView
from .attempts import AttemptView
from .audit import AuditView
from .blocklists import BlocklistView
from .domains import DomainView
from .locks import LockView
from .messages import MessageView
from .people import PeopleView
from .relays import RelayView
from .settings import SettingsView
from .smtp_users import SmtpUserView
from .suppressions import SuppressionView
from .tasks import TaskView
from .webhooks import WebhookView
from .why import WhyView


def all_views() -> list[BaseView]:
    """The views to register, but for the start page."""
    return [
        AlertsView(),
        MessageView(),
        SuppressionView(),
        DomainView(),
        SmtpUserView(),
        ApiKeyView(),
        AttemptView(),
        LockView(),
        WebhookView(),
        WhyView(),
        BlocklistView(),
        PeopleView(),
        AuditView(),
        SettingsView(),
        AccountView(),
        TaskView(),
        RelayView(),
    ]
