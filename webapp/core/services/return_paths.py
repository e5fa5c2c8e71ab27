"""Return addresses: what mail leaves from in direct delivery, so that a report on it finds its way back to it.

Reports go to the mail servers of the address's domain, and the sending domain's are somebody else's. So each address
is at this server's own name, with an address record and an SPF record (RFC 7208 section 2.4) that its operator looks
after. The price is that SPF says nothing of the sending domain then: for DMARC (RFC 7489 section 3.1) it is the DKIM
signature that speaks for it. A domain that has an alias of this server's name (`own_host`) gets its return addresses
there, and SPF speaks for it, too.
"""

from __future__ import annotations

import base64
import hmac
import re
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.core.models import Domain, DomainCheck, Message
from webapp.core.services.vault import Vault

#: The key of the alias among what a look at a domain's records found.
RECORD = "return_path"
_OWN = "bounces."
_PREFIX = "msg_"
#: At most 62 octets of the 64 that a local part may have (RFC 5321 section 4.5.3.1.1), all the same in capitals.
_LOCAL = re.compile(r"b-([0-9a-z]{26})-([a-z2-7]{16})(?:-([0-9a-f]{1,16}))?\Z")


class ReturnPath(NamedTuple):
    """What an address stands for: a message, and the one delivery that left from it if there was only one."""

    message_id: str
    delivery_id: int | None = None


def own_host(domain: str) -> str:
    """Where a sending domain's return addresses are once it is an alias (CNAME) of this server's name."""
    return f"{_OWN}{domain}"


class ReturnPaths:
    """Makes signed addresses, and reads them again: 80 bits that nobody without the app's key can make up."""

    def __init__(self, vault: Vault, hostname: str) -> None:
        self._vault = vault
        self._host = hostname.lower()

    def address(self, path: ReturnPath, host: str | None = None) -> str:
        """The address for *path*, at *host* or else at this server's name."""
        id_ = path.message_id.removeprefix(_PREFIX)
        delivery = "" if path.delivery_id is None else f"{path.delivery_id:x}"
        return "-".join(filter(None, ("b", id_, self._seal(id_, delivery), delivery))) + f"@{host or self._host}"

    def read(self, address: str) -> ReturnPath | None:
        """What *address* stands for, in whatever capitals; None if we never made it."""
        local, _, domain = address.lower().rpartition("@")
        match = _LOCAL.match(local)
        if match is None or not (domain == self._host or domain.startswith(_OWN)):
            return None
        id_, seal, delivery = match[1], match[2], match[3] or ""
        if not hmac.compare_digest(seal, self._seal(id_, delivery)):
            return None
        return ReturnPath(_PREFIX + id_, int(delivery, 16) if delivery else None)

    @staticmethod
    def host_of(session: Session, message_id: str) -> str | None:
        """The host of return addresses in the message's own domain, if the look before found its alias."""
        query = select(Domain.name, DomainCheck.findings).join(DomainCheck, DomainCheck.domain_id == Domain.id)
        row = session.execute(
            query.join(Message, Message.domain_id == Domain.id).where(Message.id == message_id)
        ).first()
        return own_host(row.name) if row and row.findings.get(RECORD, {}).get("state") == "ok" else None

    def _seal(self, id_: str, delivery: str) -> str:
        return base64.b32encode(self._vault.digest("return path", id_, delivery)[:10]).decode().lower()
