"""Integrations: how Zapier, Make, n8n and programs of one's own are connected, step by step, until it works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Response, abort, flash, redirect, request
from flask.typing import ResponseReturnValue
from flask_admin import BaseView, expose
from sqlalchemy import select
from wtforms import IntegerField, RadioField, SelectChoice, SelectField, StringField
from wtforms.validators import InputRequired, Optional

from webapp.admin.base import PanelView
from webapp.admin.forms import OnceField, PanelForm, mark_sent, show_error, was_sent
from webapp.admin.platforms import LASTS, PLATFORMS, Platform
from webapp.admin.scope import current_scope
from webapp.admin.sessions import actor, current_admin
from webapp.admin.snippets import KEY_VARIABLE, snippets
from webapp.app import gateway_of
from webapp.core.models import ApiKeyRow, CredentialUse, Domain, Hook, Message, utcnow
from webapp.core.rules.quotas import Limits
from webapp.core.rules.short_causes import short_cause
from webapp.core.services import credentials, hooks, quotas
from webapp.core.services.errors import ServiceError
from webapp.core.services.why import last_of
from webapp.db import db
from webapp.net.targets import TargetGuard, TargetRefused

from .sending_limits import LIMIT_ARGS, LIMIT_WIDGETS

#: Builds the archive of a platform's app, filled in with the server's address.
Download = Callable[[str], bytes]
#: Webhooks that the page lists; their own page has all.
HOOKS_SHOWN = 10
GUIDE = Path(__file__).parents[3] / "docs" / "going-public.md"


class KeyForm(PanelForm):
    """A key for one platform."""

    once = OnceField()
    domain = SelectField("Sending domain", validators=[InputRequired("Choose the domain that it sends for.")])
    note = StringField("Note", description="What the lists call it.")
    messages_per_hour = IntegerField(
        LIMIT_ARGS["messages_per_hour"]["label"],
        description="Beyond that, calls are told to come back later: nothing is lost. Empty: no limit.",
        validators=[Optional(), *LIMIT_ARGS["messages_per_hour"]["validators"]],
        render_kw=LIMIT_WIDGETS["messages_per_hour"],
    )
    lasts = RadioField(
        "It works for",
        choices=[SelectChoice(days, words) for days, words in LASTS],
        validators=[InputRequired("Choose how long it works.")],
    )


class IntegrationsView(PanelView, BaseView):
    """``/admin/integrations/``. *downloads* are the apps that there are, by platform; the composition root brings
    them, since the panel knows no other door."""

    intro = "Send mail from Zapier, Make, n8n or a program of yours, and have them told what became of it."

    def __init__(self, downloads: Mapping[str, Download]) -> None:
        self._downloads = downloads
        super().__init__(name="Integrations", endpoint="integrations", url="integrations", menu_icon_value="plug")

    @expose("/")
    def index(self) -> str:
        """All platforms, the domain's webhooks, and a first message in several languages."""
        query = select(Hook).join(Domain, Domain.id == Hook.domain_id)
        query = query.where(Hook.deleted_at.is_(None), Domain.deleted_at.is_(None))
        if chosen := current_scope().domain:
            query = query.where(Hook.domain_id == chosen.id)
        rows = db.session.scalars(query.order_by(Hook.id.desc()).limit(HOOKS_SHOWN + 1)).all()
        now = utcnow()
        return self._page(
            "index",
            platforms=PLATFORMS.values(),
            apps=self._downloads,
            hooks=[(row, *hooks.state_of(row, now)) for row in rows[:HOOKS_SHOWN]],
            more_hooks=len(rows) > HOOKS_SHOWN,
            is_all=current_scope().is_all,
        )

    @expose("/<any(zapier, make, n8n, http):platform_id>/", methods=("GET", "POST"))
    def platform(self, platform_id: str) -> ResponseReturnValue:
        """The steps of one platform; a POST makes the key, and its answer is the only page that shows it."""
        platform = PLATFORMS[platform_id]
        form = self._form(platform) if self.may_change and current_scope().domains else None
        if form is None or not form.validate_on_submit():
            row = self._key(request.args.get("key", 0, type=int)) if "key" in request.args else None
            page = self._platform_page(platform, form=form, row=row)
            return page, 422 if form is not None and form.errors else 200
        if was_sent(form):
            flash("This API key was made already. It is shown only once: if lost, make a new one.", "info")
            return redirect(self.get_url(".platform", platform_id=platform_id), 303)
        try:
            row, key = _make_key(form)
            db.session.commit()
        except ServiceError as error:
            db.session.rollback()
            show_error(form, error)
            return self._platform_page(platform, form=form), 422
        mark_sent(form)
        return self._platform_page(platform, row=row, key=key)

    @expose("/first-call/<int:key_id>")
    def first_call(self, key_id: int) -> str:
        """Whether the key was used yet: the page asks until its first message is there."""
        return self.render("panel/integrations/first_call.html", **_progress(self._key(key_id)))

    @expose("/<any(zapier, make):platform_id>/app")
    def download(self, platform_id: str) -> Response:
        """The platform's app, filled in with this server's address."""
        build = self._downloads.get(platform_id) or abort(404)
        answer = Response(build(gateway_of().settings.base_url), mimetype="application/zip")
        answer.headers["Content-Disposition"] = f"attachment; filename=postlatch-{platform_id}.zip"
        return answer

    @expose("/going-public/")
    def going_public(self) -> str:
        """What to do so that others reach this server, and the whole guide."""
        settings = gateway_of().settings
        name = settings.hostname if _is_reachable(f"https://{settings.hostname}") else "mail.example.org"
        return self._page("going_public", guide=GUIDE.read_text("utf-8"), http_bind=str(settings.http_bind), name=name)

    def _platform_page(
        self, platform: Platform, *, form: KeyForm | None = None, row: ApiKeyRow | None = None, key: str | None = None
    ) -> str:
        return self._page(
            "platform",
            domain=row.domain if row else None,
            platform=platform,
            form=form,
            key=key,
            has_app=platform.id in self._downloads,
            has_domain=bool(current_scope().domains),
            **(_progress(row) if row else {"row": None}),
        )

    def _page(self, template: str, *, domain: Domain | None = None, **values: Any) -> str:
        """Render with what every page here shows."""
        base_url = gateway_of().settings.base_url
        domain = domain or current_scope().domain or next(iter(current_scope().domains), None)
        sender = f"hello@{domain.name if domain else 'your-domain.example'}"
        return self.render(
            f"panel/integrations/{template}.html",
            base_url=base_url,
            reachable=_is_reachable(base_url),
            sender=sender,
            recipient=current_admin().email,
            snippets=snippets(base_url, sender=sender, recipient=current_admin().email),
            key_variable=KEY_VARIABLE,
            **values,
        )

    def _form(self, platform: Platform) -> KeyForm:
        form = KeyForm(
            data={
                "note": platform.name if platform.in_cloud else "",
                "messages_per_hour": platform.messages_per_hour,
                "lasts": platform.lasts,
            }
        )
        if current_scope().domain:
            del form.domain
        else:
            names = [domain.name for domain in current_scope().domains]
            form.domain.choices = [("", "Choose a domain"), *((name, name) for name in names)]
        return form

    def _key(self, key_id: int) -> ApiKeyRow:
        """The live key with that id, of the chosen domain."""
        row = db.session.get(ApiKeyRow, key_id) if 0 < key_id < 2**31 else None
        chosen = current_scope().domain
        if row is None or row.deleted_at or (chosen and row.domain_id != chosen.id):
            abort(404)
        return row


def _make_key(form: KeyForm) -> tuple[ApiKeyRow, str]:
    session = db.session()
    domain = current_scope().domain or next(one for one in current_scope().domains if one.name == form.domain.data)
    days = None if form.lasts.data == "never" else timedelta(days=int(form.lasts.data))
    row, key = credentials.create_api_key(
        session, actor(), domain=domain, note=form.note.data or "", expires_at=days and utcnow() + days
    )
    quotas.set_limits(session, actor(), row, Limits(messages_per_hour=form.messages_per_hour.data))
    return row, key


def _progress(row: ApiKeyRow) -> dict[str, Any]:
    """How far the key has come: its first use, its first message, and its last refusal while it has none."""
    session = db.session()
    uses = select(CredentialUse).where(CredentialUse.credential_id == row.id)
    messages = select(Message.id).where(Message.credential_id == row.id)
    refusal = last_of(session, [row.id]).get(row.id)
    return {
        "row": row,
        "state": row.state(utcnow()),
        "first_use": session.scalar(uses.order_by(CredentialUse.first_used_at, CredentialUse.id).limit(1)),
        "first_message_id": session.scalar(messages.order_by(Message.id).limit(1)),
        "refusal": refusal,
        "refused": refusal and short_cause(refusal.code, refusal.cause),
    }


def _is_reachable(base_url: str) -> bool:
    """Whether a platform in the cloud may be able to call *base_url*: https, and no private address or name."""
    try:
        TargetGuard().check_url(base_url)
    except TargetRefused:
        return False
    return True
