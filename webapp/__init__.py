"""What Postlatch knows and decides, and the panel that shows it."""

from __future__ import annotations

import gc
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from webapp.app import create_app, gateway_of

__all__ = ["create_app", "gateway_of"]

# What starting makes stays: looking through it for garbage as often as Python does by default takes a tenth of a start.
gc.set_threshold(20_000, 20, 20)


def __getattr__(name: str) -> Any:
    # Loaded at first use, so that the rules can be imported without Flask and a database.
    if name in __all__:
        return getattr(import_module("webapp.app"), name)
    raise AttributeError(name)
