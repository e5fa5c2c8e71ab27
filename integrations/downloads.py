"""The two apps as archives to download, filled in with this server's address."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

#: What stands in the apps' files where a server's address belongs.
PLACEHOLDER = "https://mail.example.com"
_HERE = Path(__file__).parent
_LEFT_OUT = {"node_modules", "__pycache__"}
_THEN = (2026, 1, 1, 0, 0, 0)  # the same files make the same archive


def zapier_app(base_url: str) -> bytes:
    """The Zapier app, as `zapier-platform push` wants it."""
    return _archive("zapier", base_url)


def make_app(base_url: str) -> bytes:
    """The Make app, in the layout that Make's extension for Visual Studio Code deploys."""
    return _archive("make", base_url)


def _archive(name: str, base_url: str) -> bytes:
    root = _HERE / name
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.rglob("*")):
            inside = path.relative_to(root)
            if path.is_file() and not _LEFT_OUT.intersection(inside.parts) and not inside.name.startswith("."):
                entry = zipfile.ZipInfo(f"postlatch-{name}/{inside.as_posix()}", _THEN)
                entry.external_attr = 0o644 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_text("utf-8").replace(PLACEHOLDER, base_url))
    return made.getvalue()
