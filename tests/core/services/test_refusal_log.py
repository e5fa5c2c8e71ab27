"""The log of refusals: written behind the doors' backs, many at a time."""

from __future__ import annotations

from sqlalchemy import select

from tests.support.factories import OFFICE, make_domain, make_smtp_user
from webapp.core.models import Refusal
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.services.gateway import Gateway


def stored(gateway: Gateway) -> dict[str, Refusal]:
    """What is written once the log is closed, by its reference."""
    gateway.ledger.close()
    with gateway.database.session() as session:
        return {row.reference: row for row in session.scalars(select(Refusal))}


def test_a_crowd_of_refusals_is_kept_each_under_its_reference_and_credential(gateway: Gateway) -> None:
    make_domain(gateway)
    user_id = make_smtp_user(gateway)
    known = [Refused(Reason.AUTH_FAILED, cause="wrong_password") for _ in range(150)]
    unknown = [Refused(Reason.AUTH_FAILED, cause="unknown_user") for _ in range(150)]
    for one, other in zip(known, unknown, strict=True):
        gateway.refuse(one, OFFICE, name="Printer@example.com")
        gateway.refuse(other, OFFICE, name="nobody@example.com")

    rows = stored(gateway)
    assert {rows[refused.reference].credential_id for refused in known} == {user_id}
    assert {rows[refused.reference].credential_id for refused in unknown} == {None}


def test_a_refusal_that_can_not_be_written_takes_no_other_along(gateway: Gateway) -> None:
    refusals = [Refused(Reason.AUTH_FAILED) for _ in range(20)]
    refusals[7].trace = {"no": object()}
    for refused in refusals:
        gateway.refuse(refused, OFFICE)

    gateway.ledger.close()
    refusals.pop(7)
    assert stored(gateway).keys() == {refused.reference for refused in refusals}
