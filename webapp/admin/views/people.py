"""People who may open the panel: invite, change the role, reset, disable, delete. For owners."""

from __future__ import annotations

from typing import Any, NamedTuple

from flask import get_template_attribute, request
from flask.typing import ResponseReturnValue
from flask_admin import expose
from flask_admin.model.template import BaseListRowAction
from markupsafe import Markup
from wtforms import RadioField, SelectChoice
from wtforms.validators import InputRequired

from webapp.admin.client import is_fetch
from webapp.admin.model_view import PanelModelView
from webapp.admin.sessions import actor, current_admin
from webapp.admin.theme.formatters import time_cell
from webapp.admin.theme.row_actions import ModalRowAction, PostRowAction
from webapp.app import gateway_of
from webapp.core.models import Admin
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.services import admins
from webapp.core.services.errors import ServiceError
from webapp.db import db

ROLES = (
    SelectChoice("owner", "Owner: everything, also people, settings and vouching"),
    SelectChoice("manager", "Manager: domains and credentials"),
    SelectChoice("viewer", "Viewer: looks at everything but secrets, changes nothing"),
)


class Invitation(NamedTuple):
    """Somebody, and the link that lets them choose a password once."""

    admin: Admin
    url: str


def _is_me(admin: Admin) -> bool:
    return admin.id == current_admin().id


class _OnOthers(BaseListRowAction):
    """A row action that one's own row doesn't show, because the server would refuse it."""

    def __init__(self, action: BaseListRowAction) -> None:
        super().__init__(title=action.title)
        self._action = action

    def render(self, context: Any, row_id: str, row: Admin) -> Any:
        """Nothing for oneself."""
        return "" if _is_me(row) else self._action.render(context, row_id, row)


def _who(_view: Any, _context: Any, admin: Admin, _name: str) -> Markup:
    return get_template_attribute("panel/people/cells.html", "who")(admin, _is_me(admin))


def _state(_view: Any, _context: Any, admin: Admin, _name: str) -> Markup:
    return get_template_attribute("panel/people/cells.html", "state")(admin)


def _role(_view: Any, _context: Any, admin: Admin, _name: str) -> str:
    return admin.role.capitalize()


def _role_field() -> RadioField:
    return RadioField("Role", choices=ROLES, default="manager", validators=[InputRequired("Choose a role.")])


class PeopleView(PanelModelView):
    """``/admin/people/``"""

    role_to_open = role_to_change = "owner"
    domain_scoped = False
    noun, menu_icon_value = "person", "users"
    menu_group = "Administration"
    intro = "Who may open this panel. They log in with their e-mail address and a password of their own."
    create_label = create_submit = "Invite somebody"
    create_intro = "You get a one-time link to send them; with it they choose their password."
    delete_question = "They can no longer log in. What they did stays in the audit log."
    creates = edits = deletes = True
    simple_list_pager = False

    column_list = ("email", "role", "state", "last_login_at", "created_at")
    column_labels = {"email": "E-mail", "last_login_at": "Last log-in", "created_at": "Added"}
    column_formatters = {
        "email": _who,
        "role": _role,
        "state": _state,
        "last_login_at": time_cell,
        "created_at": time_cell,
    }
    column_sortable_list = ("email", "role", "last_login_at", "created_at")
    column_default_sort = "email"
    column_extra_row_actions = [
        ModalRowAction("people.reset", icon="link", title="Link for a new password"),
        PostRowAction(
            "people.disable",
            icon="ban",
            title="Disable",
            confirm="They are logged out at once and can't log in again until you enable them.",
            visible=lambda admin: not admin.disabled_at,
        ),
        PostRowAction("people.enable", icon="player-play", title="Enable", visible=lambda admin: admin.disabled_at),
    ]
    create_columns = ("email", "role")
    create_fields = {"role": _role_field()}
    edit_fields = {"role": _role_field()}
    edit_columns = ("role",)
    form_args = {"email": {"label": "E-mail", "validators": [InputRequired("Type their e-mail address.")]}}
    form_widget_args = {"email": {"type": "email", "autocomplete": "off", "autofocus": True}}

    def __init__(self) -> None:
        super().__init__(Admin, db, name="People", endpoint="people", url="people")

    def get_list_row_actions(self) -> list[BaseListRowAction]:
        """Flask-Admin's hook: what one does to others only."""
        return [_OnOthers(action) for action in super().get_list_row_actions()]

    def create_row(self, form: Any) -> Invitation:
        """Add somebody without a password, and make their link."""
        session = db.session()
        admin = admins.create(session, actor(), email=form.email.data, role=form.role.data)
        return self._invitation(admin)

    def created(self, result: Invitation) -> ResponseReturnValue:
        """Show the link, this once; the address being taken keeps a reload from making another."""
        return self.render("panel/people/invited.html", invitation=result)

    def update_row(self, form: Any, row: Admin) -> None:
        """Change the role."""
        self._not_me(row)
        admins.set_role(db.session(), actor(), row, form.role.data)

    def delete_row(self, row: Admin) -> None:
        """Delete them."""
        self._not_me(row)
        admins.remove(db.session(), actor(), row)

    @expose("/reset/", methods=("GET", "POST"))
    def reset(self) -> ResponseReturnValue:
        """A dialog: ask, then show a one-time link."""
        admin = self.row_or_404()
        invitation = None
        if request.method == "POST":
            if _is_me(admin):
                raise Refused(Reason.INVALID_FIELD, problem="You are logged in: change your password instead")
            invitation = self._invitation(admin)
            db.session.commit()
        page = "panel/people/reset.html" if is_fetch() or not invitation else "panel/people/invited.html"
        return self.render(page, admin=admin, invitation=invitation)

    @expose("/disable/", methods=("POST",))
    def disable(self) -> ResponseReturnValue:
        """Log them out and keep them out."""
        return self._set_disabled(True, "{} was disabled and logged out.")

    @expose("/enable/", methods=("POST",))
    def enable(self) -> ResponseReturnValue:
        """Let them in again."""
        return self._set_disabled(False, "{} was enabled.")

    def _set_disabled(self, disabled: bool, told: str) -> ResponseReturnValue:
        admin = self.row_or_404()

        def work() -> None:
            self._not_me(admin)
            admins.set_disabled(db.session(), actor(), admin, disabled=disabled)

        return self.change(work, told.format(admin.email))

    def _invitation(self, admin: Admin) -> Invitation:
        token = admins.new_link(db.session(), actor(), admin)
        return Invitation(admin, f"{gateway_of().settings.base_url}/setup/{token}")

    @staticmethod
    def _not_me(admin: Admin) -> None:
        if _is_me(admin):
            raise ServiceError("You can't do this to yourself: ask another owner.")
