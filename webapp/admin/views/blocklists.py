"""Blocklists that connecting addresses are looked up in: their state, their self-tests, whom they found, exemptions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from flask import abort, flash, get_template_attribute, redirect, request
from flask.typing import ResponseReturnValue
from flask_admin import expose
from markupsafe import Markup
from wtforms import RadioField, SelectChoice, TextAreaField
from wtforms.validators import InputRequired

from webapp.admin.forms import PanelForm, show_error
from webapp.admin.model_view import PanelModelView
from webapp.admin.sessions import actor
from webapp.admin.theme.row_actions import PostRowAction
from webapp.app import gateway_of
from webapp.blocklist_job import examine_zones
from webapp.core.models import BlocklistZone, utcnow
from webapp.core.rules.blocklists import HEALTH_WORDS, PRESETS, PUBLIC_RESOLVERS, Finding, Health, Rules, short, site_of
from webapp.core.rules.networks import normalise_ip
from webapp.core.services import blocklist_zones
from webapp.core.services.blocklist_zones import LATELY, Counts
from webapp.core.services.errors import ServiceError
from webapp.db import db
from webapp.net import resolver
from webapp.net.async_resolver import AsyncResolver
from webapp.net.blocklists import Lookups

STATES = (
    SelectChoice("on", "On: whoever it lists is refused"),
    SelectChoice("observe", "Observe only: write down whom it would refuse, and let them in"),
    SelectChoice("off", "Off: it is not asked"),
)
_WIDE = {"rows": 3, "spellcheck": "false", "autocomplete": "off", "autocapitalize": "off"}


class ExemptForm(PanelForm):
    """The addresses that no blocklist refuses."""

    blocklist_exempt = TextAreaField(
        "Addresses that are never refused",
        description="One address or range a line, for example 192.0.2.10 or 10.0.0.0/8; # starts a remark.",
        render_kw=_WIDE,
    )


def _cell(name: str) -> Any:
    def render(view: BlocklistView, _context: Any, row: BlocklistZone, _name: str) -> Markup:
        macro = get_template_attribute("panel/blocklists/cells.html", name)
        return macro(row, preset=_preset(row), words=HEALTH_WORDS, counts=view.counts(row), health=_health(row))

    return render


def _preset(row: BlocklistZone) -> Any:
    return next((preset for preset in PRESETS if preset.zone == row.zone), None)


def _health(row: BlocklistZone) -> Health | None:
    return Health(row.health) if row.health else None


class BlocklistView(PanelModelView):
    """``/admin/blocklists/``: managers look, owners change."""

    role_to_open, role_to_change = "manager", "owner"
    domain_scoped = False
    noun, menu_icon_value = "blocklist", "shield-check"
    menu_group = "Protection"
    intro = (
        "Public lists of machines that send spam or were broken into. Whoever connects to the SMTP ports is looked up "
        "in them before anything else."
    )
    create_label = create_submit = "Add blocklist"
    create_intro = "It is tested at once, and from then on every half-hour."
    edit_intro = "It holds within five seconds, everywhere, without a restart."
    delete_question = "Its counts go with it, and nobody is refused for it any more."
    list_template = "panel/blocklists/list.html"
    creates = edits = deletes = True

    column_list = ("zone", "state", "test", "lately")
    column_labels = {"zone": "Blocklist", "test": "Last self-test", "lately": f"Last {LATELY.days} days"}
    column_formatters = {name: _cell(name) for name in column_list}
    column_sortable_list = ()
    column_default_sort = "id"
    column_extra_row_actions = [
        PostRowAction("blocklists.test", icon="refresh", title="Test it now", visible=lambda zone: zone.state != "off")
    ]
    edit_columns = ("state", "counted", "ignored")
    create_columns = ("zone", *edit_columns)
    form_args = {
        "zone": {
            "label": "Name in the DNS",
            "description": "As the list's own site gives it, for example xbl.spamhaus.org.",
            "validators": [InputRequired("Type the blocklist's name.")],
        }
    }
    form_widget_args = {"zone": {"autocomplete": "off", "autofocus": True, "spellcheck": "false"}}

    edit_fields = create_fields = {
        "state": RadioField("What it does", choices=STATES, default="on", validators=[InputRequired("Choose.")]),
        "counted": TextAreaField(
            "Answers that count",
            description="A list says by its answer why an address is on it. Leave this empty and every answer in "
            "127.0.0.0/8 counts; or give single ones, such as 127.0.0.4-127.0.0.7.",
            render_kw=_WIDE,
        ),
        "ignored": TextAreaField(
            "Except these",
            description="In Spamhaus's ZEN, 127.0.0.10 and 127.0.0.11 are home and mobile lines. Your own people "
            "send from there, so these two don't count unless you say so.",
            render_kw=_WIDE,
        ),
    }

    def __init__(self) -> None:
        super().__init__(BlocklistZone, db, name="Blocklists", endpoint="blocklists", url="blocklists")

    def counts(self, row: BlocklistZone) -> Counts:
        """What it found lately."""
        return blocklist_zones.counts(db.session(), utcnow()).get(row.id, Counts())

    def render(self, template: str, **kwargs: Any) -> str:
        """Render; the list's page has more on it than the list."""
        if template == self.list_template:
            kwargs = self._around() | kwargs
        return super().render(template, **kwargs)

    @expose("/")
    def index_view(self) -> ResponseReturnValue:
        """The list, filled with the start value the first time."""
        gateway_of().blocklists.rules()
        return super().index_view()

    def edit_form(self, obj: Any = None) -> Any:
        """Show the stored lists as text."""
        form = super().edit_form(obj)
        if request.method == "GET":
            form.counted.data, form.ignored.data = "\n".join(obj.counted), "\n".join(obj.ignored)
        return form

    def create_row(self, form: Any) -> BlocklistZone:
        """Add it."""
        answers = {"counted": form.counted.data or "", "ignored": form.ignored.data or None}
        return blocklist_zones.add(db.session(), actor(), zone=form.zone.data, state=form.state.data, **answers)

    def created(self, result: BlocklistZone) -> ResponseReturnValue:
        """Test it at once: a list that doesn't serve us is better known now."""
        return self._tested(result, f"{result} was added.")

    def update_row(self, form: Any, row: BlocklistZone) -> None:
        """Change it."""
        answers = {"counted": form.counted.data or "", "ignored": form.ignored.data or ""}
        blocklist_zones.change(db.session(), actor(), row, state=form.state.data, **answers)

    def delete_row(self, row: BlocklistZone) -> None:
        """Delete it."""
        blocklist_zones.delete(db.session(), actor(), row)

    @expose("/preset", methods=("POST",))
    def preset(self) -> ResponseReturnValue:
        """Add a well-known list."""
        zone = request.form.get("zone", "")
        if zone not in {preset.zone for preset in PRESETS}:
            abort(404)
        try:
            row = blocklist_zones.add(db.session(), actor(), zone=zone)
            db.session.commit()
        except ServiceError as error:
            db.session.rollback()
            flash(str(error), "info")
            return self.back()
        return self.created(row)

    @expose("/test/", methods=("POST",))
    def test(self) -> ResponseReturnValue:
        """Test a list now."""
        row = self.row_or_404()
        if row.state == "off":
            abort(404)
        return self._tested(row, f"{row} was tested.")

    @expose("/exempt", methods=("POST",))
    def exempt(self) -> ResponseReturnValue:
        """Store the exempt addresses."""
        form = ExemptForm()
        if form.validate():
            values = {"blocklist_exempt": form.blocklist_exempt.data or ""}
            try:
                gateway_of().preferences.store(db.session(), actor(), values)
                db.session.commit()
            except ServiceError as error:
                db.session.rollback()
                show_error(form, error)
            else:
                flash("The exempt addresses were saved.", "success")
                return redirect(self.get_url(".index_view", _anchor="exempt"), 303)
        return self.render("panel/blocklists/exempt.html", form=form), 422

    @expose("/exempt-one", methods=("POST",))
    def exempt_one(self) -> ResponseReturnValue:
        """Never refuse one address again: the button beside a refusal."""
        ip = request.form.get("ip", "")
        return self.change(
            lambda: blocklist_zones.exempt(db.session(), actor(), gateway_of().preferences, ip),
            f"{ip} is exempt: no blocklist refuses it from now on.",
        )

    @expose("/look-up")
    def look_up(self) -> ResponseReturnValue:
        """What each list says of an address now."""
        question = request.args.get("ip", "").strip()[:100]
        try:
            ip = str(normalise_ip(question))
        except ValueError:
            return self.render("panel/blocklists/look_up.html", question=question, ip=None)
        gateway_of().blocklists.rules()
        rules = gateway_of().blocklists.read(db.session())
        findings = _findings(ip, rules)
        return self.render(
            "panel/blocklists/look_up.html",
            question=question,
            ip=ip,
            exempt=rules.exempts(ip),
            findings=findings,
            guilty=next((finding for finding in findings if finding.refuses), None),
            private=not ip_address(ip).is_global,
            site_of=site_of,
        )

    def _tested(self, row: BlocklistZone, told: str) -> ResponseReturnValue:
        examine_zones(gateway_of(), [(row.id, row.zone)])
        db.session.refresh(row)
        health = _health(row)
        if health:
            told = f"{told} {HEALTH_WORDS[health]}"
        flash(told, "success" if health in {None, Health.GOOD} else "warning")
        return self.back()

    def _around(self) -> dict[str, Any]:
        gateway = gateway_of()
        exempt = gateway.preferences.read(db.session()).blocklist_exempt
        servers = _resolvers()
        return {
            "presets": PRESETS,
            "exempt_form": ExemptForm(formdata=None, data={"blocklist_exempt": "\n".join(map(short, exempt))}),
            "hits": blocklist_zones.latest_hits(db.session()),
            "resolvers": servers,
            "public_resolver": next((server for server in servers if server in PUBLIC_RESOLVERS), None),
        }


def _resolvers() -> Sequence[str]:
    try:
        return [str(server) for server in resolver.resolver(gateway_of().settings.dns).nameservers]
    except resolver.LookupFailed:
        return []


def _findings(ip: str, rules: Rules) -> list[Finding]:
    lookups = Lookups(AsyncResolver(gateway_of().settings.dns))
    return asyncio.run(lookups.look_up(ip, rules.zones, thorough=True))
