"""Column formatters: what a list's cell or a details row shows for times and states."""

from datetime import datetime
from typing import Any

from flask import get_template_attribute
from markupsafe import Markup


def status_cell(_view: Any, _context: Any, model: Any, name: str) -> Markup:
    """A state (`queued`, `active`, `locked` …) as a coloured word."""
    value = getattr(model, name)
    return get_template_attribute("admin/lib.html", "status")(str(getattr(value, "value", value)))


def time_cell(_view: Any, _context: Any, model: Any, name: str) -> Markup:
    """A moment as "3 minutes ago" with the exact time as its title; a dash for none."""
    return time_value(None, getattr(model, name), name)


def time_value(_view: Any, value: datetime | None, _name: str = "") -> Markup:
    """The same for Flask-Admin's `column_type_formatters = {datetime: time_value}`."""
    return get_template_attribute("admin/lib.html", "time")(value)


def yes_no(_view: Any, value: bool, _name: str = "") -> Markup:
    """For `column_type_formatters = {bool: yes_no}`."""
    return get_template_attribute("admin/lib.html", "yes_no")(value)


def dash(_view: Any, _value: None, _name: str = "") -> Markup:
    """For `column_type_formatters = {type(None): dash}`: an empty cell says so."""
    return Markup('<span class="text-secondary" aria-label="none">–</span>')
