"""Tables, one file a noun. `Base.metadata` knows them all once this package is imported."""

from webapp.core.models.admin import Admin, AdminSession, OneTimeLink
from webapp.core.models.alert import Alert
from webapp.core.models.base import Base, utcnow
from webapp.core.models.blocklist import BlocklistHit, BlocklistZone
from webapp.core.models.credential import ApiKeyRow, CredentialRow, CredentialSecret, CredentialUse, SmtpUser
from webapp.core.models.delivery import Delivery, DeliveryAttempt
from webapp.core.models.dkim_key import DkimKey
from webapp.core.models.domain import Domain
from webapp.core.models.domain_check import DomainCheck
from webapp.core.models.event import Event
from webapp.core.models.hook import Hook, HookAttempt, HookDelivery
from webapp.core.models.message import IdempotencyKey, Message, MessageSource
from webapp.core.models.quota import SendCounter
from webapp.core.models.relay import DomainRelay
from webapp.core.models.security import AuditEntry, FailedAttempt, KnownAddress, Lock, Refusal, ReverseName
from webapp.core.models.suppression import Suppression
from webapp.core.models.system import Heartbeat, Preference
from webapp.core.models.task import Task
from webapp.core.models.unfinished import UnfinishedMessage

__all__ = [
    "Admin",
    "AdminSession",
    "Alert",
    "ApiKeyRow",
    "AuditEntry",
    "Base",
    "BlocklistHit",
    "BlocklistZone",
    "CredentialRow",
    "CredentialSecret",
    "CredentialUse",
    "Delivery",
    "DeliveryAttempt",
    "DkimKey",
    "Domain",
    "DomainCheck",
    "DomainRelay",
    "Event",
    "FailedAttempt",
    "Heartbeat",
    "Hook",
    "HookAttempt",
    "HookDelivery",
    "IdempotencyKey",
    "KnownAddress",
    "Lock",
    "Message",
    "MessageSource",
    "OneTimeLink",
    "Preference",
    "Refusal",
    "ReverseName",
    "SendCounter",
    "SmtpUser",
    "Suppression",
    "Task",
    "UnfinishedMessage",
    "utcnow",
]
