"""The relay of a single domain, and the test of any relay."""

from __future__ import annotations

from flask import abort, flash, redirect, request
from flask.typing import ResponseReturnValue
from flask_admin import BaseView, expose

from webapp.admin.base import PanelView
from webapp.admin.forms import show_error
from webapp.admin.sessions import actor, current_admin
from webapp.app import gateway_of
from webapp.core.models import Domain, Preference
from webapp.core.rules.addresses import AddressError, parse_address
from webapp.core.rules.relay import RelayTarget
from webapp.core.services import audit, relays, tasks
from webapp.core.services.errors import ServiceError
from webapp.db import db

from .relay_form import RelayForm


class RelayView(PanelView, BaseView):
    """``/admin/relays/``: for owners."""

    role_to_open = role_to_change = "owner"
    domain_scoped = False
    intro = "Mail from this domain leaves through a mail server of its own choice."

    def __init__(self) -> None:
        super().__init__(name="Relays", endpoint="relays", url="relays")

    def is_visible(self) -> bool:
        """The Settings page leads here."""
        return False

    @expose("/")
    def index(self) -> ResponseReturnValue:
        """The list is on the Settings page."""
        return redirect(self.get_url("settings.index", _anchor="domain-relays"))

    @expose("/<int:domain_id>/", methods=("GET", "POST"))
    def relay(self, domain_id: int) -> ResponseReturnValue:
        """Set it; an empty host removes it."""
        domain, stored = self._domain_or_404(domain_id)
        form = RelayForm() if request.method == "POST" else RelayForm(formdata=None, data=RelayForm.values_of(stored))
        if form.validate_on_submit():
            try:
                target = form.target(stored)
                if target is None:
                    raise ServiceError("Type the relay's host name.", field="host")
                relays.set_relay(db.session(), gateway_of().vault, actor(), domain, target)
                db.session.commit()
            except ServiceError as error:
                db.session.rollback()
                show_error(form, error)
            else:
                flash(f"Mail from {domain.name} leaves through {target.label} from now on.", "success")
                return redirect(self.get_url(".relay", domain_id=domain.id), 303)
        page = self.render(
            "panel/relays/relay.html", domain=domain, relay=stored, form=form, email=current_admin().email
        )
        return page, 422 if form.errors or form.form_errors else 200

    @expose("/<int:domain_id>/remove", methods=("POST",))
    def remove(self, domain_id: int) -> ResponseReturnValue:
        """Let the domain's mail leave as all other mail does."""
        domain, _ = self._domain_or_404(domain_id)
        relays.set_relay(db.session(), gateway_of().vault, actor(), domain, None)
        db.session.commit()
        flash(f"Mail from {domain.name} leaves as all other mail does.", "success")
        return redirect(self.get_url("settings.index", _anchor="domain-relays"), 303)

    @expose("/test", methods=("POST",))
    def test(self) -> ResponseReturnValue:
        """Have the worker send a test message, through the domain's relay or the one for all."""
        domain_id = request.form.get("domain_id", type=int)
        back = self.get_url(".relay", domain_id=domain_id) if domain_id else self.get_url("settings.index")
        try:
            to = parse_address(request.form.get("to", "").strip(), smtputf8=False)
        except AddressError as error:
            flash(f"The test was not sent: {error}.", "danger")
            return redirect(back, 303)
        session = db.session()
        row = self._domain_or_404(domain_id)[0] if domain_id else Preference(name="relay_url")
        task_id = tasks.enqueue(
            session, "relay_test", {"to": to, "domain_id": domain_id}, requested_by=current_admin().email
        )
        audit.record(session, actor(), "test", row, relay_test_to=to)
        session.commit()
        return redirect(self.get_url("tasks.task", task_id=task_id, url=back), 303)

    def _domain_or_404(self, domain_id: int) -> tuple[Domain, RelayTarget | None]:
        domain = db.session.get(Domain, domain_id)
        if domain is None or domain.deleted_at is not None:
            abort(404)
        return domain, relays.all_relays(db.session(), gateway_of().vault).get(domain_id)
