"""The lock: the dialog that lists from where a credential may be used."""

from __future__ import annotations

from flask import request
from flask.typing import ResponseReturnValue
from flask_admin import expose

from webapp.admin.base import needs
from webapp.admin.client import client_ip
from webapp.admin.forms import show_error
from webapp.admin.sessions import actor
from webapp.core.models import CredentialRow
from webapp.core.rules.networks import Network, NetworkError, allowed, is_everything, parse_networks
from webapp.core.services import credentials
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
        if form.validate_on_submit():
            if form.add_mine.data:
                form.allowed_networks.data = _with(form.allowed_networks.data or "", client_ip())
            else:
                try:
                    networks = parse_networks(form.allowed_networks.data or "")
                    warnings = _warnings(row, networks)
                    if not warnings or _confirmed(form, networks):
                        return self._save(row, form, networks)
                    form.warned.data = _canonical(networks)
                except NetworkError as error:
                    show_error(form, ServiceError(str(error), field="allowed_networks"))
        page = self.render(
            "panel/credentials/allowed.html", row=row, form=form, warnings=warnings, my_address=client_ip()
        )
        return page, 422 if request.method == "POST" else 200

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


def _with(text: str, address: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join([*lines, address] if address not in lines else lines)
