"""The composition root: plugs the doors into the app, and the jobs into the worker. Nothing else."""

import sys

from flask import Flask

import smtpd
from integrations.api import create_api
from integrations.attachments import attachments_job
from integrations.downloads import make_app, zapier_app
from integrations.webhooks import webhooks_job
from smtpd.delivery import delivery_job
from smtpd.delivery.relay_test import relay_test_handler
from webapp import cli, create_app, gateway_of
from webapp.admin import csrf, init_admin
from webapp.blocklist_job import blocklists_job
from webapp.core.services.tasks import Handler
from webapp.core.services.vault import VaultError
from webapp.domain_checks_job import domain_check_handler, domain_checks_job
from webapp.health import create_health
from webapp.metrics import create_metrics
from webapp.reverse_job import reverse_names_job
from webapp.settings import SettingsError
from webapp.task_job import tasks_job
from webapp.watch import watch_job
from webapp.worker import Job

# Python 3.11 has a module of that name too; it wins when the project's root is not first on the path.
assert hasattr(smtpd, "__path__"), "run from the project's root"


def build() -> Flask:
    """The app with all its doors."""
    try:
        built = create_app()
    except (SettingsError, VaultError) as error:
        sys.exit(f"postlatch: {error}")
    gateway = gateway_of(built)
    init_admin(built, downloads={"zapier": zapier_app, "make": make_app})
    for blueprint in (create_api(gateway), create_health(gateway), create_metrics(gateway)):
        csrf.exempt(blueprint)
        built.register_blueprint(blueprint)
    # What the worker does when a page asks for it, by kind.
    handlers: dict[str, Handler] = {
        "domain_check": domain_check_handler(gateway),
        "relay_test": relay_test_handler(gateway),
    }
    jobs = [
        Job("delivery", delivery_job(gateway)),
        Job("attachments", attachments_job(gateway)),
        Job("webhooks", webhooks_job(gateway)),
        tasks_job(gateway, handlers),
        watch_job(gateway),
        domain_checks_job(gateway),
        blocklists_job(gateway),
        reverse_names_job(gateway),
    ]
    cli.register(built, jobs=jobs)
    return built


app = build()
