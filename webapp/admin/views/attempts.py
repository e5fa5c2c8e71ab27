"""Failed attempts: the log of all doors, and who is behind most of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import abort, get_template_attribute, request, url_for
from flask_admin import expose
from flask_admin.contrib.sqla.filters import BaseSQLAFilter, FilterEqual, FilterLike
from markupsafe import Markup
from sqlalchemy.orm import Query

from webapp.admin.model_view import PanelModelView
from webapp.admin.theme.formatters import time_cell
from webapp.app import gateway_of
from webapp.core.models import Refusal, utcnow
from webapp.core.rules.explanations import explain
from webapp.core.rules.networks import normalise_ip, parse_networks
from webapp.core.services import attempts, locks, reverse_names
from webapp.db import db

from .filters import Since, Until
from .paging import NewestFirst

DOORS = {"smtp": "SMTP", "http": "API", "panel": "Panel"}
#: Why, in the words of the filter: by the cause that the log knows.
CAUSES = {
    "wrong_password": "wrong password",
    "wrong_secret": "wrong secret of a key",
    "unknown_user": "unknown name",
    "unknown_key": "unknown key",
    "address_locked": "address locked",
    "credential_locked": "log-in locked",
    "address_not_allowed": "address not allowed",
    "expired": "expired",
    "key_expired": "key expired",
    "disabled": "disabled",
    "key_revoked": "key disabled",
    "key_missing": "no key given",
    "malformed_key": "not a key at all",
    "empty_credentials": "nothing typed",
    "foreign_identity": "acting for another",
    "auth_malformed": "garbled",
    "auth_needs_tls": "without encryption",
    "csrf": "expired form",
    "too_many_log_ins": "too busy to check",
    "database_unavailable": "database unavailable",
}
#: What the groups are by, and the filter that lists one group's attempts.
GROUPS: dict[attempts.By, tuple[str, str]] = {
    "address": ("By address", "flt0_address_equals"),
    "network": ("By network", "flt0_network_equals"),
    "credential": ("By credential", "flt0_credential_equals"),
}
PERIODS = {1: "24 hours", 7: "7 days", 30: "30 days"}


class _In(BaseSQLAFilter):
    """An address, in any spelling."""

    def clean(self, value: str) -> str:
        """Raise `ValueError` unless it is an address."""
        return str(normalise_ip(value))

    def operation(self) -> str:
        return "equals"

    def apply(self, query: Any, value: str, alias: Any = None) -> Any:
        return query.filter(self.get_column(alias) == value)


class _Network(_In):
    """A /24 of IPv4 or a /48 of IPv6: what attempts are grouped by."""

    def clean(self, value: str) -> str:
        """Raise `ValueError` unless it is one range."""
        (network,) = parse_networks(value)
        return str(network)


class _Counted(BaseSQLAFilter):
    """Whether it brought a lock nearer."""

    def __init__(self) -> None:
        super().__init__(Refusal.counted, "Counted", options=[("1", "yes"), ("0", "no")])

    def operation(self) -> str:
        return "is"

    def apply(self, query: Any, value: str, alias: Any = None) -> Any:
        return query.filter(Refusal.counted.is_(value == "1"))


def _cell(name: str) -> Any:
    def render(view: AttemptView, _context: Any, row: Refusal, _name: str) -> Markup:
        return get_template_attribute("panel/attempts/cells.html", name)(row, view)

    return render


class AttemptView(NewestFirst, PanelModelView):
    """``/admin/attempts/``"""

    domain_scoped = False
    noun, menu_icon_value = "attempt", "shield-lock"
    menu_group = "Protection"
    heading = "Failed attempts"
    intro = (
        "Every log-in that was refused, by SMTP, API and this panel. Wrong passwords and unknown names count towards "
        "a lock; the rest is only written down."
    )
    list_template = "panel/newest_first.html"
    empty_heading = "No failed attempts yet"
    empty_text = "When a log-in is refused, it is listed here, with the reason."
    empty_icon = "circle-check"

    column_default_sort = ("at", True)
    column_list = ("at", "door", "ip", "name", "cause", "client", "reference")
    column_labels = {
        "at": "When",
        "door": "Door",
        "ip": "From",
        "name": "As typed",
        "cause": "Why",
        "client": "Program",
        "reference": "Reference",
    }
    column_formatters = {"at": time_cell} | {
        name: _cell(name) for name in ("door", "ip", "name", "cause", "client", "reference")
    }
    column_sortable_list = ()
    column_searchable_list = ("ip", "name", "client", "reference")
    column_filters = (
        FilterEqual(Refusal.door, "Door", options=list(DOORS.items())),
        _In(Refusal.ip, "Address"),
        _Network(Refusal.network, "Network"),
        FilterEqual(Refusal.name, "Credential"),
        FilterLike(Refusal.name, "Credential"),
        FilterEqual(Refusal.cause, "Why", options=list(CAUSES.items())),
        _Counted(),
        Since(Refusal.at, "Date", data_type="datepicker"),
        Until(Refusal.at, "Date", data_type="datepicker"),
    )
    named_filter_urls = True

    def __init__(self) -> None:
        super().__init__(Refusal, db, name="Failed attempts", endpoint="attempts", url="attempts")

    @property
    def page_tabs(self) -> list[dict[str, Any]]:
        """The log, its groups, and the locks."""
        return tabs(request.endpoint, request.view_args)

    def visible(self, query: Query) -> Query:
        """Log-ins alone, of all refusals."""
        return query.filter(attempts.is_attempt())

    def search_placeholder(self) -> str:
        """What the search looks at."""
        return "Search address, name, program"

    def rows_ready(self, rows: list[Refusal]) -> None:
        """Give each row its address's name; what is not known yet the worker finds out."""
        names = names_of([row.ip for row in rows])
        for row in rows:
            row.reverse_name = names.get(row.ip)

    @staticmethod
    def why_words(row: Refusal) -> str:
        """Why, in a few words; the reference leads to the whole."""
        return CAUSES.get(row.cause) or explain(row.code, row.cause).what

    @expose("/by/<what>")
    def groups(self, what: str) -> str:
        """Who is behind most of them."""
        if what not in GROUPS:
            abort(404)
        days = request.args.get("days", "")
        chosen = int(days) if days.isascii() and days.isdigit() and int(days) in PERIODS else 1
        found = attempts.grouped(db.session(), what, utcnow() - timedelta(days=chosen))
        return self.render(
            "panel/attempts/groups.html",
            what=what,
            groups=found,
            argument=GROUPS[what][1],
            names=names_of([group.key for group in found]) if what == "address" else {},
            days=chosen,
            periods=PERIODS,
        )


def tabs(endpoint: str | None, arguments: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The tabs that the log and the locks share."""
    chosen = (arguments or {}).get("what")
    shown = [
        {
            "name": "Attempts",
            "url": url_for("attempts.index_view"),
            "active": endpoint == "attempts.index_view",
        }
    ]
    shown += [
        {"name": name, "url": url_for("attempts.groups", what=what), "active": chosen == what}
        for what, (name, _) in GROUPS.items()
    ]
    held = len(locks.in_force(db.session(), utcnow(), limit=100))
    return [
        *shown,
        {
            "name": "Locks",
            "url": url_for("locks.index"),
            "active": endpoint == "locks.index",
            "count": held or None,
        },
    ]


def names_of(ips: list[str]) -> dict[str, str]:
    """What the DNS calls *ips*, as far as it is known; the worker is told to ask for the rest."""
    known, unknown = reverse_names.known(db.session(), [ip for ip in ips if ip], utcnow())
    if unknown:
        gateway_of().ledger.submit(lambda session: reverse_names.want(session, unknown, utcnow()))
    return known
