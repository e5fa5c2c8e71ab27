"""The audit log: who changed what. Nobody changes the log."""

from __future__ import annotations

from typing import Any

from flask import get_template_attribute
from flask_admin.contrib.sqla.filters import FilterEqual, FilterLike
from markupsafe import Markup

from webapp.admin.model_view import PanelModelView
from webapp.admin.theme.formatters import time_cell
from webapp.core.models import AuditEntry
from webapp.db import db

from .filters import Since, Until
from .paging import NewestFirst

#: What an action is called in the list.
ACTIONS = {
    "create": "created",
    "change": "changed",
    "delete": "deleted",
    "enable": "enabled",
    "disable": "disabled",
    "rotate": "gave a new secret to",
    "vouch": "vouched for",
    "unvouch": "no longer vouches for",
    "unlock": "ended",
    "retry": "retried",
    "hold": "held",
    "release": "released",
    "cancel": "cancelled",
    "send_again": "sent again",
    "suppress": "suppressed",
    "import": "imported suppressed addresses for",
    "login": "logged in",
    "logout": "logged out",
    "reset": "made a link for a new password for",
    "end_grace": "ended the old secret of",
    "verify": "verified",
    "unverify": "no longer verified",
    "add_dkim_key": "made a DKIM key for",
    "start_dkim_key": "began to sign for",
    "retire_dkim_key": "retired a DKIM key of",
    "test": "tested",
}
_OBJECTS = {
    "smtp_user": "SMTP user",
    "api_key": "API key",
    "credential": "credential",
    "preference": "setting",
    "admin": "person",
    "lock": "lock of",
    "domain": "domain",
    "blocklist_zone": "blocklist",
    "message": "message",
    "suppression": "address",
    "hook": "webhook",
}
#: What people do for themselves: whom it is about is said already.
_OWN = {"login", "logout"}
#: The settings, as the Settings page calls them.
_SETTINGS = {
    "delivery": "how mail leaves",
    "relay_url": "relay server",
    "lockout_failures": "failures before a lock",
    "lockout_window": "time within which failures count",
    "lockout_first": "length of the first lock",
    "content_kept_days": "days that content is kept",
    "messages_kept_days": "days that messages are kept",
    "soft_bounces": "bounces that suppress an address",
    "alerts_sender": "sender of alerts by mail",
    "never_lock": "addresses that are never locked",
    "logs_kept_days": "days for which failed attempts are kept",
    "blocklist_exempt": "addresses that no blocklist refuses",
    "requests_per_key": "requests a minute with one key",
    "requests_per_address": "requests a minute from one address",
}


def _cell(name: str) -> Any:
    def render(_view: Any, _context: Any, entry: AuditEntry, _name: str) -> Markup:
        words = {"action": ACTIONS.get(entry.action, entry.action), "kind": object_word(entry.object_type)}
        words["label"] = _SETTINGS.get(entry.label, entry.label) if entry.object_type == "preference" else entry.label
        if entry.action in _OWN and entry.label == entry.actor:
            words |= {"kind": "", "label": ""}
        return get_template_attribute("panel/audit/cells.html", name)(
            entry, words, told(entry.changes, entry.action == "change")
        )

    return render


def object_word(object_type: str) -> str:
    """What kind of thing it was, in words."""
    return _OBJECTS.get(object_type, object_type.replace("_", " "))


def told(changes: dict[str, Any], pairs: bool) -> list[tuple[str, str | None, str]]:
    """Each detail as (field, old or None, new), in words. With *pairs*, a list of two is an old and a new value."""
    rows = []
    for name, value in (changes or {}).items():
        pair = pairs and isinstance(value, list) and len(value) == 2
        old, new = (value[0], value[1]) if pair else (None, value)
        rows.append((name.replace("_", " ").strip(), _said(old) if pair else None, _said(new)))
    return rows


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ("", []):
        return "nothing"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_said, value))
    return str(value)


class AuditView(NewestFirst, PanelModelView):
    """``/admin/audit/``"""

    role_to_open = "manager"
    role_to_change = "owner"
    domain_scoped = False
    noun, menu_icon_value = "entry", "history"
    menu_group = "Administration"
    heading = "Audit log"
    intro = "Who changed what in this panel and on the command line. Secrets are never written down here."
    list_template = "panel/newest_first.html"
    empty_heading = "Nothing was changed yet"

    column_list = ("at", "actor", "action", "changes", "ip")
    column_labels = {"at": "When", "actor": "Who", "action": "What", "changes": "Details", "ip": "From"}
    column_formatters = {
        "at": time_cell,
        "actor": _cell("actor"),
        "action": _cell("action"),
        "changes": _cell("changes"),
        "ip": _cell("ip"),
    }
    column_sortable_list = ()
    column_searchable_list = ("actor", "label", "action", "object_type")
    column_filters = (
        FilterLike(AuditEntry.actor, "Who"),
        FilterEqual(AuditEntry.action, "What", options=list(ACTIONS.items())),
        FilterLike(AuditEntry.label, "Name"),
        Since(AuditEntry.at, "Date", data_type="datepicker"),
        Until(AuditEntry.at, "Date", data_type="datepicker"),
    )
    named_filter_urls = True

    def __init__(self) -> None:
        super().__init__(AuditEntry, db, name="Audit log", endpoint="audit", url="audit")

    def search_placeholder(self) -> str:
        """What the search looks at."""
        return "Search who and what"
