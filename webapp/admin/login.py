"""The way in and out: ``/``, ``/login``, ``/logout`` and the one-time links ``/setup/TOKEN``."""

from __future__ import annotations

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import EmailField, PasswordField
from wtforms.validators import InputRequired

from webapp.app import gateway_of
from webapp.core.models import Admin, OneTimeLink, utcnow
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.services import admins
from webapp.core.services.errors import ServiceError
from webapp.db import db

from .client import client_ip, peer
from .errors import refusal_page, stamp
from .forms import NewPasswordField, PanelForm, show_error
from .security import safe_next
from .sessions import current_admin, log_in, log_out

panel = Blueprint("panel", __name__)


class LoginForm(PanelForm):
    """Email and password."""

    email = EmailField("E-mail", [InputRequired("Type your e-mail address.")])
    password = PasswordField("Password", [InputRequired("Type your password.")])


class ResetForm(PanelForm):
    """A new password."""

    password = NewPasswordField("New password", validators=[InputRequired("Choose a password.")])


class SetupForm(PanelForm):
    """The first owner."""

    email = EmailField("E-mail", [InputRequired("Type your e-mail address.")])
    password = NewPasswordField("Password", validators=[InputRequired("Choose a password.")])


@panel.get("/")
def root() -> ResponseReturnValue:
    """Lead to the panel."""
    return redirect("/admin/")


@panel.route("/login", methods=["GET", "POST"])
def login() -> ResponseReturnValue:
    """Ask who it is."""
    target = safe_next(request.args.get("next")) or "/admin/"
    if request.method == "GET" and current_admin():
        return redirect(target)
    form = LoginForm()
    refused = None
    if form.validate_on_submit():
        try:
            admin_id = gateway_of().authenticator.admin(form.email.data, form.password.data, peer())
            admin = db.session.get_one(Admin, admin_id)
            return log_in(make_response(redirect(target, 303)), admin)
        except Refused as refusal:
            if refusal.reason is Reason.STORAGE:
                return refusal_page(refusal)
            gateway_of().refuse(refusal, peer(), name=form.email.data)
            refused = refusal
    return _login_page(form, refused)


@panel.post("/logout")
def logout() -> ResponseReturnValue:
    """End the session."""
    response = log_out(make_response(redirect(url_for("panel.login"), 303)))
    flash("You are logged out.", "success")
    return response


@panel.route("/setup/<token>", methods=["GET", "POST"])
def setup(token: str) -> ResponseReturnValue:
    """Choose a password with a one-time link: the first owner's, or one that an owner handed out."""
    link = admins.find_link(db.session(), token, utcnow())
    if link is None:
        return _dead_link()
    person = db.session.get_one(Admin, link.admin_id) if link.admin_id else None
    form = ResetForm() if person else SetupForm()
    if form.validate_on_submit():
        try:
            return _use(link, form)
        except ServiceError as error:
            db.session.rollback()
            show_error(form, error)
    page = render_template(
        "auth/reset.html" if person else "auth/setup.html",
        email=person.email if person else form.email.data,
        error=" ".join(form.form_errors),
        errors=form.errors,
    )
    return page, 422 if form.errors else 200


def _use(link: OneTimeLink, form: PanelForm) -> ResponseReturnValue:
    email = form.email.data if "email" in form else None
    admin = admins.use_link(db.session(), link, password=form.password.data, email=email, ip=client_ip())
    return log_in(make_response(redirect("/admin/", 303)), admin)


def _login_page(form: LoginForm, refused: Refused | None) -> ResponseReturnValue:
    page = render_template(
        "panel/login.html",
        email=form.email.data,
        error=refused.http_message if refused else None,
        errors=form.errors,
        nobody_yet=not admins.any_admin(db.session()),
    )
    response = make_response(page)
    if form.errors:
        response.status_code = 422
    if refused:
        response.status_code = refused.reason.answer.http_status
        stamp(response, refused)
    return response


def _dead_link() -> ResponseReturnValue:
    refused = Refused(Reason.NOT_FOUND, cause="dead_link")
    gateway_of().refuse(refused, peer())
    first = not admins.any_admin(db.session())
    page = render_template("panel/dead_link.html", first=first, reference=refused.reference)
    return stamp(make_response(page, 404), refused)
