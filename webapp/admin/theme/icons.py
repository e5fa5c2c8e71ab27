"""Inline SVG icons, read once from `webapp/static/vendor/icons`."""

import re
from functools import lru_cache
from pathlib import Path

from markupsafe import Markup, escape

FOLDER = Path(__file__).parents[2] / "static" / "vendor" / "icons"


@lru_cache(maxsize=256)
def _shapes(name: str) -> str:
    """The children of the icon's `<svg>`; raises LookupError when the icon isn't vendored."""
    path = FOLDER / f"{name}.svg"
    if not re.fullmatch(r"[a-z0-9-]+", name) or not path.is_file():
        raise LookupError(f"no icon {name!r}: add it to webapp/static/vendor/icons.txt and run fetch.sh")
    source = path.read_text(encoding="utf-8")
    inner = source[source.index(">") + 1 : source.rindex("</svg>")]
    # Each icon starts with an invisible square the size of its box.
    return re.sub(r'<path stroke="none"[^>]*>|\s*\n\s*', "", inner)


def icon(name: str, *, label: str = "", css: str = "") -> Markup:
    """An inline `<svg>`, hidden from screen readers unless `label` says what it means."""
    access = Markup('role="img" aria-label="{}"').format(label) if label else Markup('aria-hidden="true"')
    return Markup(
        '<svg class="icon {css}" viewBox="0 0 24 24" fill="none" stroke="currentColor" '
        'stroke-linecap="round" stroke-linejoin="round" {access}>{shapes}</svg>'
    ).format(css=escape(css), access=access, shapes=Markup(_shapes(name)))  # noqa: S704 - our own files
