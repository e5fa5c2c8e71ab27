"""What may be written in a request's fields, for the description of the API. `coerce` reads what these describe."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_CLOSED = ConfigDict(extra="forbid")


class AddressIn(BaseModel):
    """An address with its display name."""

    model_config = _CLOSED

    email: str = Field(examples=["ann@example.org"])
    name: str | None = Field(None, examples=["Ann Doe"])


class LinkIn(BaseModel):
    """A file that this server fetches from a web address once it has taken the message in."""

    model_config = _CLOSED

    url: str = Field(examples=["https://example.org/invoice.pdf"])
    filename: str | None = Field(None, examples=["Invoice 7.pdf"], description="By default its server's name for it.")
    content_type: str | None = Field(None, description="By default what its server says.")


class FileIn(BaseModel):
    """A file in the request itself."""

    model_config = _CLOSED

    content: str = Field(description="The file in base64.", json_schema_extra={"contentEncoding": "base64"})
    filename: str | None = None
    content_type: str | None = Field(None, description="By default the file name's ending tells it.")


Address = Annotated[str | AddressIn, Field(description='`j@x.org`, `"Doe, J" <j@x.org>` or an object.')]
Addresses = Annotated[
    str | AddressIn | list[str | AddressIn],
    Field(description="A text with commas, semicolons or new lines between the addresses, or a list of addresses."),
]
Attachments = Annotated[
    str | LinkIn | FileIn | list[str | LinkIn | FileIn],
    Field(description="Web addresses, or files in base64; in a multipart form, parts."),
]
Headers = Annotated[
    dict[str, str | int] | str,
    Field(description="An object, or its JSON as a text. Not for headers that have a field of their own."),
]
Metadata = Annotated[
    dict[str, str | int | float | bool | None] | str,
    Field(description="An object of texts, or its JSON as a text. Events give it back."),
]
SendAt = Annotated[
    str | int | float,
    Field(description="When to send: ISO 8601 with an offset, or Unix seconds; at most 30 days ahead."),
]
