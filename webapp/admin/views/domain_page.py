"""The page about one domain: the records to publish, what was found of them, its DKIM keys."""

from __future__ import annotations

from flask import abort, redirect, request
from flask.typing import ResponseReturnValue
from flask_admin import expose
from sqlalchemy import func, select

from webapp.admin.base import may, needs
from webapp.admin.sessions import actor
from webapp.app import gateway_of
from webapp.core.models import CredentialRow, DkimKey, Domain, Task
from webapp.core.rules.domain_records import in_pieces, in_zone
from webapp.core.services import dkim, domain_checks, domains, tasks
from webapp.core.services.domain_checks import Report
from webapp.db import db


def report_of(domain: Domain) -> Report:
    """What is known of *domain*."""
    return domain_checks.report(db.session(), gateway_of(), domain)


def credential_count(domain: Domain) -> int:
    """How many live credentials send for *domain*."""
    mine = (CredentialRow.domain_id == domain.id, CredentialRow.deleted_at.is_(None))
    return db.session.scalar(select(func.count()).where(*mine)) or 0


class DomainPageMixin:
    """What ``/admin/domains/ID/`` answers."""

    @expose("/<int:domain_id>/")
    def domain(self, domain_id: int) -> str:
        """The page."""
        return self._page("panel/domains/domain.html", domain_id)

    @expose("/<int:domain_id>/records")
    def records(self, domain_id: int) -> str:
        """The light and the records alone: the page asks for them while a check is under way."""
        return self._page("panel/domains/records.html", domain_id)

    @expose("/<int:domain_id>/check", methods=("POST",))
    def check(self, domain_id: int) -> ResponseReturnValue:
        """Have the worker look now."""
        task_id = self.ask_for_check(self._domain_or_404(domain_id))
        return redirect(self.get_url(".domain", domain_id=domain_id, task=task_id), 303)

    @expose("/<int:domain_id>/vouch", methods=("POST",))
    @needs("owner")
    def vouch(self, domain_id: int) -> ResponseReturnValue:
        """Let its mail out without DNS proof."""
        return self._set_vouched(domain_id, True, "You vouch for {} now: its mail may leave.")

    @expose("/<int:domain_id>/withdraw", methods=("POST",))
    @needs("owner")
    def withdraw(self, domain_id: int) -> ResponseReturnValue:
        """No longer vouch for it."""
        return self._set_vouched(domain_id, False, "Nobody vouches for {} any more.")

    @expose("/<int:domain_id>/keys/new", methods=("POST",))
    def new_key(self, domain_id: int) -> ResponseReturnValue:
        """Make a key, which takes over once its record is found."""
        domain, vault = self._domain_or_404(domain_id), gateway_of().vault
        algorithm = request.form.get("algorithm", "")
        told = "A new key is ready. Publish its record: it takes over once that is found."
        return self.change(lambda: dkim.add(db.session(), vault, actor(), domain, algorithm), told)

    @expose("/<int:domain_id>/keys/use", methods=("POST",))
    def use_key(self, domain_id: int) -> ResponseReturnValue:
        """Sign with a key whose record was not found from here."""
        domain, key = self._key_or_404(domain_id)
        told = f"Mail is signed with {key.selector} from now on."
        return self.change(lambda: dkim.activate(db.session(), actor(), domain, key), told)

    @expose("/<int:domain_id>/keys/retire", methods=("POST",))
    def retire_key(self, domain_id: int) -> ResponseReturnValue:
        """Let go of a key."""
        domain, key = self._key_or_404(domain_id)
        return self.change(
            lambda: dkim.retire(db.session(), actor(), domain, key),
            f"{key.selector} signs no more mail." if key.signs else f"You can delete the record of {key.selector} now.",
        )

    def ask_for_check(self, domain: Domain) -> int:
        """Queue a look at *domain* and commit; return the task's id."""
        by = actor()
        args = {"domain_id": domain.id, "by": by.name}
        task_id = tasks.enqueue(db.session(), "domain_check", args, requested_by=by.name)
        db.session.commit()
        return task_id

    def back(self) -> ResponseReturnValue:
        """To the domain's page, if the form came from there."""
        domain_id = (request.view_args or {}).get("domain_id")
        if domain_id is None:
            return super().back()  # type: ignore[misc]
        return redirect(self.get_url(".domain", domain_id=domain_id), 303)

    def _page(self, template: str, domain_id: int) -> str:
        domain = self._domain_or_404(domain_id)
        report = report_of(domain)
        zone = report.zone or domain.name
        return self.render(
            template,
            domain=domain,
            report=report,
            zone=zone,
            short=lambda name: in_zone(name, zone),
            in_pieces=in_pieces,
            algorithms=dkim.ALGORITHMS,
            kept=dkim.KEPT,
            stops_at=domain.lost_at and domain.lost_at + domains.GRACE,
            is_owner=may("owner"),
            task=self._task(domain_id),
            lacks_credential=not credential_count(domain),
            mode=gateway_of().preferences.current().delivery,
        )

    def _task(self, domain_id: int) -> Task | None:
        """The check that the URL names, if it is one of this domain."""
        task = tasks.find(db.session(), request.args.get("task", 0, type=int))
        ours = task and task.kind == "domain_check" and task.args.get("domain_id") == domain_id
        return task if ours else None

    def _domain_or_404(self, domain_id: int) -> Domain:
        return self.get_one(domain_id) or abort(404)

    def _key_or_404(self, domain_id: int) -> tuple[Domain, DkimKey]:
        domain = self._domain_or_404(domain_id)
        asked = request.form.get("key", 0, type=int)
        for key in dkim.published(db.session(), domain.id):
            if key.id == asked:
                return domain, key
        return abort(404)

    def _set_vouched(self, domain_id: int, vouched: bool, told: str) -> ResponseReturnValue:
        domain = self._domain_or_404(domain_id)
        return self.change(
            lambda: domains.set_vouched(db.session(), actor(), domain, vouched=vouched), told.format(domain.name)
        )
