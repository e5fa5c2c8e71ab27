"""Attachments by web address: the worker fetches them once the message is on disk, and then lets it go."""

from __future__ import annotations

from integrations.attachments.job import attachments_job

__all__ = ["attachments_job"]
