"""The panel's looks: a Flask-Admin theme on Tabler's CSS, strict about CSP.

    admin = Admin(app, name="Postlatch", theme=TablerTheme(), index_view=…)
    init_theme(app)                       # once: `icon`, `asset` and `utc` for the templates

No page needs inline script or style. Templates are in `webapp/templates`, scripts in `webapp/static/js`
(entry: `postlatch.js`), styles in `webapp/static/postlatch.css`, other people's files in
`webapp/static/vendor` (see its `fetch.sh`). None of Flask-Admin's own templates, jQuery or Bootstrap 4
can load: the theme names a template folder that Flask-Admin doesn't have. Therefore not available:
`column_editable_list`, inline models, Ajax references, file admin.

Forms
    Base view forms on `flask_wtf.FlaskForm`: one `csrf_token` field then serves the form and
    `CSRFProtect`. (Flask-Admin's `SecureForm` names its own, different token alike.) Every template
    renders `form.csrf_token`, else the app-wide `csrf_token()`. For dates use
    `form_overrides = {"expires_at": wtforms.DateTimeLocalField}`: a native picker.

Context variables (all optional)
    domain_choices   list of {name, url, active}: the selector at the top; hidden below two entries
    current_domain   name of the chosen domain; create forms put it in their heading
    delivery_mode    "capture" (strip under the top bar), "relay" or "mx"
    password_url     where the user menu's "Change password" leads
    current_user     Flask-Login's; `.email` and `.role` are shown

Attributes of a view (all optional, strings or properties)
    noun             "SMTP user": headings ("New SMTP user") and questions ("Delete this SMTP user?")
    intro            the sentence under the list's heading; create_intro, edit_intro for the forms
    heading          the list's heading, if not the view's name
    create_label     the main button, if not "Add <noun>"
    empty_heading, empty_text, empty_icon       the block in place of an empty table
    delete_question  the text in the delete dialog
    delete_as        word, icon and tone of the delete button, where "Delete" would frighten: ("Release", …, "primary")
    page_tabs        list of {name, url, active, count}: tabs under the heading (SMTP users, API keys)
    menu_icon_value  an icon's name, for the sidebar

Blocks
    base         title, page_header (page_pretitle, page_heading, page_intro, page_actions), page_tabs,
                 body, dialogs, tail
    model/list   list_toolbar, list_before, list_header, list_row, list_row_actions, empty_list, nothing_yet, list_pager
    model/create, model/edit          form_before, form_body, form_buttons, form_after, form_aside
    model/details                     details_before, details_table, details_after
    layouts/auth (login, setup, reset, errors)       title, card, below

Macros, `{% import "admin/lib.html" as lib with context %}`
    lib.page_intro_text, lib.empty_state(heading, text, icon_name, url, label),
    lib.render_form(form, cancel_url, form_opts=…), lib.render_field(form, field, kwargs), lib.csrf(form),
    {% call lib.modal(title, action=…, submit=…, tone=…) %}…{% endcall %}   a dialog's fragment
    lib.badge(text, tone), lib.status(name) (a message's, a credential's or a domain's state, coloured),
    lib.copy_row(label, value, secret=False), lib.copy_button(value), lib.code_block(text, label),
    lib.time(datetime), lib.post_button(url, label, icon_name, confirm, …), lib.note(tone)

    A column formatter may return Markup; `formatters.py` beside this file has `status_cell`, `time_cell`.

Data attributes (postlatch.js; all work inside fetched dialogs too)
    data-confirm="Question?"        on a form or submit button; data-confirm-title, data-confirm-button,
                                    data-confirm-tone="danger|primary"
    data-copy="text" | data-copy-target="#id"          copy button, spoken by a live region
    data-modal-url="/…"             GETs a fragment into the dialog. Its forms are sent by fetch with the
                                    header `X-Requested-With: fetch`: answer 422 (or 200) with HTML to
                                    replace the fragment, a redirect or {"reload": true} to reload the
                                    page, {"redirect": "/…"} to go elsewhere.
    data-close                      closes the dialog it is in
    data-password-rules             on a password field: lib renders the rules, ticked while typing
    data-generate-password          on a password field: lib renders a button that fills in 20 characters
    data-reveal="#id"               shows and hides a password
    data-autosubmit                 on a select: submits its form when changed
    data-poll-url, data-poll-seconds        replaces the element's content every so often until the
                                    answer holds an element with data-poll-done, or is 204
    data-preview-url, data-preview="#id"    on a field: while it is edited, its form is sent there and the answer
                                    shown in the element
    data-theme-set="light|dark|auto"
    <time datetime>                 becomes "3 minutes ago" with the local time as its title;
                                    data-absolute keeps the date
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from flask import Flask, url_for
from flask_admin.theme import Theme

from .icons import icon

STATIC = Path(__file__).parents[2] / "static"


@dataclass
class TablerTheme(Theme):
    """Pass to `Admin(theme=…)`. `folder` is deliberately none of Flask-Admin's."""

    folder: str = "tabler"
    base_template: str = "admin/base.html"


@lru_cache(maxsize=256)
def _digest(path: Path, _modified: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:10]


def asset(filename: str) -> str:
    """URL of a static file, which changes with its content so that browsers may keep it."""
    path = STATIC / filename
    return url_for("static", filename=filename, v=_digest(path, path.stat().st_mtime_ns))


def utc(moment: datetime) -> datetime:
    """The moment in UTC; one without an offset is taken to be UTC already, as the database gives it."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def init_theme(app: Flask) -> None:
    """Gives the templates `icon(name)`, `asset(filename)` and the filter `utc`."""
    app.jinja_env.add_extension("jinja2.ext.do")
    app.jinja_env.globals.update(icon=icon, asset=asset)
    app.jinja_env.filters["utc"] = utc
