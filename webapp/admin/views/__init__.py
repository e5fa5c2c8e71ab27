"""The panel's views, one file each, in the order of the menu."""

from __future__ import annotations

from collections.abc import Mapping

from flask_admin import BaseView

from .account import AccountView
from .alerts import AlertsView
from .api_keys import ApiKeyView
from .attempts import AttemptView
from .audit import AuditView
from .blocklists import BlocklistView
from .domains import DomainView
from .integrations import Download, IntegrationsView
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


def all_views(downloads: Mapping[str, Download]) -> list[BaseView]:
    """The views to register, but for the start page. *downloads* are the apps that Integrations offers."""
    return [
        AlertsView(),
        MessageView(),
        SuppressionView(),
        DomainView(),
        SmtpUserView(),
        ApiKeyView(),
        IntegrationsView(downloads),
        WebhookView(),
        AttemptView(),
        LockView(),
        BlocklistView(),
        WhyView(),
        PeopleView(),
        AuditView(),
        SettingsView(),
        AccountView(),
        TaskView(),
        RelayView(),
    ]
