"""Attachments that are named by their address, to be fetched once the message is taken in.

The message is composed at once, with a stand-in for each such file; a file that was fetched takes its place. So all
that is judged about a message is judged before it is taken.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field

from webapp.core.rules.compose import AttachedFile, attachment_part


@dataclass(frozen=True, slots=True)
class LinkedFile:
    """A file at *url*. A name or type that is given wins over what its server says. *marker* tells it from others."""

    url: str = field(repr=False)
    filename: str = ""
    content_type: str = ""
    marker: str = field(default_factory=lambda: secrets.token_hex(16))

    def as_dict(self) -> dict[str, str]:
        """For a column of JSON."""
        return asdict(self)

    @property
    def stand_in(self) -> AttachedFile:
        """What is attached in its place."""
        return AttachedFile(self.marker, self.marker.encode())


def put_in(source: bytes, link: LinkedFile, file: AttachedFile) -> bytes:
    """*source* with *file* where the stand-in of *link* was. Raise `ValueError` when it isn't there exactly once."""
    stand_in = attachment_part(link.stand_in)
    if source.count(stand_in) != 1:
        raise ValueError("the stand-in is not there")
    return source.replace(stand_in, attachment_part(file))
