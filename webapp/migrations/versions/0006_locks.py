"""Locks of credentials and pairs: failures that count apart from the log of all attempts.

Revision: 0006, of 2026-11-25
"""

from ipaddress import ip_address, ip_network

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Failures counted so far are dropped: they mattered for minutes, and the log of refusals has them, too."""
    op.drop_table("failed_attempts")
    op.create_table(
        "failed_attempts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=320), nullable=False),
        sa.Column("secret_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("subject", sa.String(length=49), nullable=False),
        sa.Column("spared", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failed_attempts")),
    )
    for columns in (
        ["at"],
        ["subject", "at"],
        ["kind", "name", "subject", "at"],
        ["kind", "name", "secret_digest", "at"],
    ):
        op.create_index(f"ix_failed_attempts_{'_'.join(columns)}", "failed_attempts", columns, unique=False)

    op.create_table(
        "known_addresses",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("owner_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.String(length=49), nullable=False),
        sa.Column("succeeded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "owner_id", "subject", name=op.f("pk_known_addresses")),
    )
    op.create_index(op.f("ix_known_addresses_succeeded_at"), "known_addresses", ["succeeded_at"], unique=False)
    op.execute(  # an IPv6 address is known by its network, which its next success will bring
        "INSERT INTO known_addresses (kind, owner_id, subject, succeeded_at) "
        "SELECT credentials.kind, credentials.id, credential_uses.ip, max(credential_uses.last_used_at) "
        "FROM credential_uses JOIN credentials ON credentials.id = credential_uses.credential_id "
        "WHERE credential_uses.ip NOT LIKE '%:%' GROUP BY credentials.kind, credentials.id, credential_uses.ip"
    )

    op.create_table(
        "reverse_names",
        sa.Column("ip", sa.String(length=45), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("wanted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("ip", name=op.f("pk_reverse_names")),
    )
    op.create_index(op.f("ix_reverse_names_wanted_at"), "reverse_names", ["wanted_at"], unique=False)

    with op.batch_alter_table("locks") as batch:
        batch.add_column(sa.Column("kind", sa.String(length=16), nullable=True))
        batch.add_column(sa.Column("name", sa.String(length=320), nullable=True))
        batch.add_column(sa.Column("address", sa.String(length=49), nullable=True))
        batch.create_index(op.f("ix_locks_name"), ["name"], unique=False)
        batch.create_index(op.f("ix_locks_address"), ["address"], unique=False)
    op.execute("UPDATE locks SET address = subject WHERE scope = 'address'")

    with op.batch_alter_table("refusals") as batch:
        batch.add_column(sa.Column("network", sa.String(length=49), nullable=False, server_default=""))
        batch.add_column(sa.Column("counted", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("refusals") as batch:
        batch.alter_column("network", server_default=None)
        batch.alter_column("counted", server_default=None)
    _fill_networks()


def _fill_networks() -> None:
    refusals = sa.table("refusals", sa.column("ip", sa.String), sa.column("network", sa.String))
    connection = op.get_bind()
    for ip in connection.scalars(sa.select(refusals.c.ip).distinct()).all():
        try:
            network = str(ip_network((ip, 48 if ip_address(ip).version == 6 else 24), strict=False))
        except ValueError:
            network = ip
        connection.execute(sa.update(refusals).where(refusals.c.ip == ip).values(network=network))


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("refusals") as batch:
        batch.drop_column("counted")
        batch.drop_column("network")
    op.execute("DELETE FROM locks WHERE scope != 'address'")
    with op.batch_alter_table("locks") as batch:
        batch.drop_index(op.f("ix_locks_address"))
        batch.drop_index(op.f("ix_locks_name"))
        batch.drop_column("address")
        batch.drop_column("name")
        batch.drop_column("kind")
    op.drop_table("reverse_names")
    op.drop_table("known_addresses")
    op.drop_table("failed_attempts")
    op.create_table(
        "failed_attempts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("door", sa.String(length=8), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("secret_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("ip", sa.String(length=45), nullable=False),
        sa.Column("subject", sa.String(length=49), nullable=False),
        sa.Column("cause", sa.String(length=40), nullable=False),
        sa.Column("client", sa.String(length=255), nullable=False),
        sa.Column("reference", sa.String(length=10), nullable=True),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failed_attempts")),
    )
    op.create_index(op.f("ix_failed_attempts_at"), "failed_attempts", ["at"], unique=False)
    op.create_index("ix_failed_attempts_subject_at", "failed_attempts", ["subject", "at"], unique=False)
    op.create_index(
        "ix_failed_attempts_name_digest_at", "failed_attempts", ["kind", "name", "secret_digest", "at"], unique=False
    )
