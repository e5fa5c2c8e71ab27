"""Webhooks: addresses that are told of a domain's events, and the log of what they were told."""

from __future__ import annotations

from typing import Any

from flask import abort, flash, get_template_attribute, redirect, request
from flask.typing import ResponseReturnValue
from flask_admin import expose
from markupsafe import Markup
from sqlalchemy import func, select
from sqlalchemy.orm import Query
from wtforms import StringField
from wtforms.validators import InputRequired

from webapp.admin.base import needs
from webapp.admin.forms import OnceField, mark_sent, was_sent
from webapp.admin.model_view import PanelModelView
from webapp.admin.scope import current_scope
from webapp.admin.sessions import actor
from webapp.app import gateway_of
from webapp.core.models import Domain, Event, Hook, HookAttempt, HookDelivery, utcnow
from webapp.core.models.hook import ACTIVE
from webapp.core.rules.events import EventName
from webapp.core.services import events, hooks
from webapp.db import db
from webapp.net.targets import TargetGuard

from .credential_forms import RotateKeyForm
from .credentials import live_domains
from .webhook_forms import check_target, choice_field, choice_of, chosen_events, events_field

LOG_SHOWN = 50


def _cell(name: str) -> Any:
    def render(view: WebhookView, _context: Any, row: Hook, _name: str) -> Markup:
        return get_template_attribute("panel/webhooks/cells.html", name)(row, view, hooks.state_of(row, utcnow()))

    return render


class WebhookView(PanelModelView):
    """``/admin/webhooks/``"""

    noun, menu_icon_value = "webhook", "webhook"
    intro = "Web addresses that are told what becomes of your mail: of Zapier, Make, or a program of yours."
    create_intro = "Paste the address that Zapier, Make or your program gave you. Events are posted to it from now on."
    create_template = edit_template = "panel/webhooks/form.html"
    edit_modal = False
    create_label = create_submit = "Add webhook"
    empty_heading = "No webhook yet"
    empty_text = "Add one, and the program behind it hears at once when mail was delivered, bounced or failed."
    delete_question = "Its address is told nothing more, and its log goes."
    creates = edits = deletes = True
    shows_secret = True
    simple_list_pager = False

    column_list = ("name", "events", "state", "last", "domain")
    column_labels = {"events": "Events", "last": "Last try", "domain": "Domain"}
    column_formatters = {name: _cell(name) for name in ("name", "events", "state", "last")}
    column_sortable_list = ("name", ("domain", "domain.name"))
    column_searchable_list = ("name",)
    column_default_sort = ("id", True)
    create_columns = ("domain", "name", "target_url", "choice", "events", "once")
    edit_columns = ("name", "target_url", "choice", "events")
    form_args = {
        "domain": {
            "label": "Sending domain",
            "query_factory": live_domains,
            "blank_text": "Choose a domain",
            "allow_blank": True,
            "validators": [InputRequired("Choose the domain whose events it is told of.")],
        },
        "name": {
            "label": "Name",
            "description": "So that you know it again.",
            "validators": [InputRequired("Give it a name.")],
        },
    }
    form_widget_args = {
        "name": {"placeholder": "Bounces to the team's chat", "autocomplete": "off", "autofocus": True},
        "target_url": {
            "placeholder": "https://hooks.zapier.com/hooks/catch/…",
            "autocomplete": "off",
            "inputmode": "url",
        },
        "events": {"column_class": "chosen-events"},
    }

    def __init__(self) -> None:
        address = StringField(
            "Address", description="It starts with https://.", validators=[InputRequired("Paste its address."), _check]
        )
        self.edit_fields = {"target_url": address, "choice": choice_field(), "events": events_field()}
        self.create_fields = self.edit_fields | {"once": OnceField()}
        super().__init__(Hook, db, name="Webhooks", endpoint="webhooks", url="webhooks")

    def visible(self, query: Query) -> Query:
        """Without the deleted ones, and those of the chosen domain only."""
        query = query.filter(Hook.deleted_at.is_(None)).join(Domain, Domain.id == Hook.domain_id)
        query = query.filter(Domain.deleted_at.is_(None))
        chosen = current_scope().domain
        return query.filter(Hook.domain_id == chosen.id) if chosen else query

    def search_placeholder(self) -> str:
        """What the search looks at."""
        return "Search names"

    def create_form(self, obj: Any = None) -> Any:
        """Ask for the domain only where none is chosen. The name may come from where the form was asked for."""
        form = super().create_form(obj)
        if current_scope().domain:
            del form.domain
        if not form.is_submitted():
            form.name.data = request.args.get("name", "")[: hooks.LONGEST_NAME]
        return form

    def edit_form(self, obj: Any = None) -> Any:
        """Show what is chosen."""
        form = super().edit_form(obj)
        if not form.is_submitted():
            form.choice.data = choice_of(obj.events)
        return form

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> ResponseReturnValue:
        """Without a domain there is nothing to tell of."""
        if not current_scope().domains:
            return redirect(self.get_url("domains.index_view"))
        return super().create_view()

    def create_row(self, form: Any) -> tuple[Hook, str]:
        """Make it."""
        return hooks.create(
            db.session(),
            actor(),
            gateway_of().vault,
            domain=current_scope().domain or form.domain.data,
            name=form.name.data,
            target_url=form.target_url.data,
            events=chosen_events(form),
        )

    def created(self, result: tuple[Hook, str]) -> ResponseReturnValue:
        """Show the secret, this once."""
        return self._card(*result, rotated=False)

    def update_row(self, form: Any, row: Hook) -> None:
        """Name, address and events."""
        chosen = chosen_events(form)
        hooks.change(db.session(), actor(), row, name=form.name.data, target_url=form.target_url.data, events=chosen)

    def delete_row(self, row: Hook) -> None:
        """Delete it."""
        hooks.delete(db.session(), actor(), row)

    @expose("/<int:hook_id>/")
    def hook(self, hook_id: int) -> str:
        """The page about one webhook."""
        return self.render("panel/webhooks/webhook.html", **self._progress(hook_id))

    @expose("/<int:hook_id>/progress")
    def progress(self, hook_id: int) -> str:
        """Its state and its log alone: the page asks for them while something is going on."""
        return self.render("panel/webhooks/progress.html", **self._progress(hook_id))

    @expose("/<int:hook_id>/log/<int:delivery_id>")
    def log(self, hook_id: int, delivery_id: int) -> str:
        """A dialog with each request and its answer."""
        delivery = self._delivery(hook_id, delivery_id)
        query = select(HookAttempt).where(HookAttempt.delivery_id == delivery.id).order_by(HookAttempt.id.desc())
        tries = db.session.scalars(query.limit(LOG_SHOWN)).all()
        return self.render("panel/webhooks/log.html", hook=delivery.hook, delivery=delivery, tries=tries)

    @expose("/<int:hook_id>/again/<int:delivery_id>", methods=("POST",))
    def again(self, hook_id: int, delivery_id: int) -> ResponseReturnValue:
        """Send one event once more."""
        delivery = self._delivery(hook_id, delivery_id)
        work = lambda: hooks.try_by_hand(db.session(), actor(), delivery)  # noqa: E731
        return self._done(hook_id, work, "It is being sent again. Its result shows below.")

    @expose("/<int:hook_id>/test", methods=("POST",))
    def test(self, hook_id: int) -> ResponseReturnValue:
        """Send an event that didn't happen."""
        row = self._hook(hook_id)
        sample = events.sample(EventName(row.events[0]), domain=row.domain.name, now=utcnow())
        work = lambda: hooks.send_test(db.session(), actor(), row, sample)  # noqa: E731
        return self._done(hook_id, work, "A test event is on its way. Its result shows below.")

    @expose("/<int:hook_id>/pause", methods=("POST",))
    def pause(self, hook_id: int) -> ResponseReturnValue:
        """Tell it nothing for a while."""
        row = self._hook(hook_id)
        return self._done(hook_id, lambda: hooks.pause(db.session(), actor(), row), f"{row.name} is paused.")

    @expose("/<int:hook_id>/resume", methods=("POST",))
    def resume(self, hook_id: int) -> ResponseReturnValue:
        """Tell it again."""
        row = self._hook(hook_id)
        return self._done(hook_id, lambda: hooks.resume(db.session(), actor(), row), f"{row.name} is told again.")

    @expose("/rotate/", methods=("GET", "POST"))
    @needs("manager")
    def rotate(self) -> ResponseReturnValue:
        """Give it a new secret, shown once."""
        row = self.row_or_404()
        form = RotateKeyForm()
        page_url = self.get_url(".hook", hook_id=row.id)
        if form.validate_on_submit():
            if was_sent(form):
                flash("It was changed already, and the new secret is shown only once.", "info")
                return redirect(page_url, 303)
            secret = hooks.rotate(db.session(), actor(), gateway_of().vault, row, grace=form.grace_period)
            db.session.commit()
            mark_sent(form)
            return self._card(row, secret, rotated=True)
        page = self.render("panel/webhooks/rotate.html", form=form, hook=row, return_url=page_url)
        return page, 422 if form.errors else 200

    def last_try(self, row: Hook) -> HookAttempt | None:
        """For the list: the newest POST."""
        newest = select(func.max(HookAttempt.id)).join(HookDelivery, HookDelivery.id == HookAttempt.delivery_id)
        return db.session.get(HookAttempt, db.session.scalar(newest.where(HookDelivery.hook_id == row.id)) or 0)

    def _done(self, hook_id: int, work: Any, told: str) -> ResponseReturnValue:
        self.change(work, told)
        return redirect(self.get_url(".hook", hook_id=hook_id), 303)

    def _hook(self, hook_id: int) -> Hook:
        row = self.get_one(hook_id)
        if row is None:
            abort(404)
        return row

    def _delivery(self, hook_id: int, delivery_id: int) -> HookDelivery:
        found = db.session.get(HookDelivery, delivery_id)
        if found is None or found.hook_id != self._hook(hook_id).id:
            abort(404)
        return found

    def _card(self, row: Hook, secret: str, *, rotated: bool) -> str:
        return self.render("panel/webhooks/card.html", hook=row, secret=secret, rotated=rotated)

    def _progress(self, hook_id: int) -> dict[str, Any]:
        row = self._hook(hook_id)
        newest = (
            select(func.max(HookAttempt.id))
            .where(HookAttempt.delivery_id == HookDelivery.id)
            .correlate(HookDelivery)
            .scalar_subquery()
        )
        query = (
            select(HookDelivery, Event.event, Event.recipient, HookAttempt)
            .outerjoin(Event, Event.id == HookDelivery.event_id)
            .outerjoin(HookAttempt, HookAttempt.id == newest)
            .where(HookDelivery.hook_id == row.id)
            .order_by(HookDelivery.id.desc())
            .limit(LOG_SHOWN + 1)
        )
        before = request.args.get("before", type=int)
        if before is not None:
            query = query.where(HookDelivery.id < min(before, 2**62))
        log = db.session.execute(query).all()
        state, since, reason = hooks.state_of(row, utcnow())
        return {
            "hook": row,
            "state": state,
            "state_since": since,
            "state_reason": reason,
            "log": log[:LOG_SHOWN],
            "has_more": len(log) > LOG_SHOWN,
            "before": before,
            "now": utcnow(),
            "busy": any(one.due_at and (state == ACTIVE or one.by_hand or one.lease) for one, *_ in log),
        }


def _check(form: Any, field: Any) -> None:
    check_target(TargetGuard.of(gateway_of().settings))(form, field)
