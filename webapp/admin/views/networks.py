"""The lock: the dialog that lists from where a credential may be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue
from flask_admin import expose

from webapp.admin.base import needs
from webapp.admin.client import client_ip
from webapp.admin.forms import show_error
from webapp.admin.sessions import actor
from webapp.core.models import CredentialRow, utcnow
from webapp.core.rules.networks import Network, NetworkError, allowed, is_everything, parse_networks
from webapp.core.services import credentials, learning
from webapp.core.services.errors import ServiceError
from webapp.db import db

from .credential_forms import NetworksForm


class NetworksMixin:
    """Adds the dialog to a view of credentials."""

    @expose("/allowed/", methods=("GET", "POST"))
    @needs("manager")
    def allowed(self) -> ResponseReturnValue:
        """Show the list; check, warn about and save what comes back."""
        row = self.row_or_404()
        form = NetworksForm(allowed_networks="\n".join(row.allowed_networks))
        warnings: list[str] = []
        seen = learning.addresses_seen(db.session(), row, utcnow())
        if form.validate_on_submit():
            typed = form.allowed_networks.data or ""
            if form.add_mine.data:
                form.allowed_networks.data = _with(typed, [client_ip()])
            elif form.add_seen.data:
                form.allowed_networks.data = _with(typed, [ip for ip, _ in seen])
            else:
                try:
                    networks = parse_networks(typed)
                    warnings = _warnings(row, networks)
                    if not warnings or _confirmed(form, networks):
                        return self._save(row, form, networks)
                    form.warned.data = _canonical(networks)
                except NetworkError as error:
                    show_error(form, ServiceError(str(error), field="allowed_networks"))
        page = self.render(
            "panel/credentials/allowed.html",
            row=row,
            form=form,
            warnings=warnings,
            my_address=client_ip(),
            seen=seen,
            most_learned=learning.MOST_LEARNED,
            **_preview(row, form.allowed_networks.data or ""),
        )
        return page, 422 if warnings or form.errors else 200

    @expose("/allowed-preview/", methods=("POST",))
    @needs("manager")
    def allowed_preview(self) -> str:
        """What the list on screen would have refused; it is not saved."""
        found = _preview(self.row_or_404(), request.form.get("allowed_networks", ""))
        return self.render("panel/credentials/preview.html", **found)

    def _save(self, row: CredentialRow, form: NetworksForm, networks: tuple[Network, ...]) -> ResponseReturnValue:
        count = len(networks)
        told = (
            f"{self.label(row)} may be used from any address."
            if not count
            else (f"{self.label(row)} may be used from {count} {'range' if count == 1 else 'ranges'} only.")
        )
        return self.change(
            lambda: credentials.set_allowed_networks(db.session(), actor(), row, form.allowed_networks.data or ""), told
        )


def _warnings(row: CredentialRow, networks: tuple[Network, ...]) -> list[str]:
    found = [
        f"{network} is every address there is: with it in the list, the lock keeps nobody out."
        for network in networks
        if is_everything(network)
    ]
    if row.last_used_ip and not allowed(row.last_used_ip, networks):
        found.append(f"It was last used from {row.last_used_ip}, which would be shut out.")
    return found


def _confirmed(form: NetworksForm, networks: tuple[Network, ...]) -> bool:
    """Whether the very list that was warned about is wanted anyway; another list is warned about anew."""
    return bool(form.anyway.data) and form.warned.data == _canonical(networks)


def _canonical(networks: tuple[Network, ...]) -> str:
    return " ".join(sorted(map(str, networks)))


def _preview(row: CredentialRow, text: str) -> dict[str, Any]:
    """For the template: what the list would have refused, or what is wrong with it."""
    try:
        networks = parse_networks(text)
    except NetworkError as error:
        return {"problem": str(error)}
    return {"listed": bool(networks), "preview": learning.preview(db.session(), row, networks, utcnow())}


def _with(text: str, addresses: Sequence[str]) -> str:
    """The list with *addresses* added, but for those that it allows already; as typed when it can't be read."""
    try:
        networks = parse_networks(text)
    except NetworkError:
        networks = ()
    lines = [line for line in text.splitlines() if line.strip()]
    missing = [one for one in addresses if one not in lines and not (networks and allowed(one, networks))]
    return "\n".join([*lines, *missing])
