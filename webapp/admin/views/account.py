"""One's own account: change the password."""

from __future__ import annotations

from flask import flash, redirect
from flask.typing import ResponseReturnValue
from flask_admin import BaseView, expose
from wtforms import PasswordField
from wtforms.validators import InputRequired

from webapp.admin.base import PanelView
from webapp.admin.client import peer
from webapp.admin.forms import NewPasswordField, PanelForm, show_error
from webapp.admin.sessions import actor, current_admin, current_session
from webapp.app import gateway_of
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.services import admins
from webapp.core.services.errors import ServiceError
from webapp.db import db


class PasswordForm(PanelForm):
    """The old password, and a new one."""

    current = PasswordField(
        "Current password",
        [InputRequired("Type your current password.")],
        render_kw={"autocomplete": "current-password"},
    )
    password = NewPasswordField("New password", validators=[InputRequired("Choose a new password.")])


class AccountView(PanelView, BaseView):
    """``/admin/account/``"""

    role_to_change = "viewer"  # everybody's own
    domain_scoped = False

    def __init__(self) -> None:
        super().__init__(name="Change password", endpoint="account", url="account")

    def is_visible(self) -> bool:
        """The user menu leads here."""
        return False

    @expose("/", methods=("GET", "POST"))
    def index(self) -> ResponseReturnValue:
        """Ask for both, check, and end the person's other sessions."""
        form = PasswordForm()
        if form.validate_on_submit():
            admin = current_admin()
            keep = current_session().token_digest
            try:
                # A guess here is a guess at a log-in: it counts like one.
                gateway_of().authenticator.admin(admin.email, form.current.data, peer())
                admins.set_password(db.session(), actor(), admin, form.password.data, keep=keep)
                db.session.commit()
            except Refused as refused:
                if refused.reason is not Reason.LOGIN_FAILED:
                    raise
                gateway_of().refuse(refused, peer(), name=admin.email)
                form.current.errors = [f"That is not your current password. [ref {refused.reference}]"]
            except ServiceError as error:
                db.session.rollback()
                show_error(form, error)
            else:
                flash("Your password was changed. Other browsers are logged out.", "success")
                return redirect(self.get_url("admin.index"), 303)
        return self.render("panel/account.html", form=form), 422 if form.errors else 200
