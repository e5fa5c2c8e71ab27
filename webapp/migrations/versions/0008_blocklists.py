"""Blocklists, and whom they found.

Revision: 0008, of 2026-11-25
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "blocklist_zones",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("zone", sa.String(length=189), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("counted", sa.JSON(), nullable=False),
        sa.Column("ignored", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("health", sa.String(length=10), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("demoted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blocklist_zones")),
        sa.UniqueConstraint("zone", name=op.f("uq_blocklist_zones_zone")),
    )
    op.create_table(
        "blocklist_hits",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("zone_id", sa.Integer(), nullable=False),
        sa.Column("ip", sa.String(length=45), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("refused", sa.Boolean(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answers", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("reference", sa.String(length=10), nullable=True),
        sa.ForeignKeyConstraint(
            ["zone_id"],
            ["blocklist_zones.id"],
            name=op.f("fk_blocklist_hits_zone_id_blocklist_zones"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blocklist_hits")),
        sa.UniqueConstraint("zone_id", "ip", "day", "refused", name=op.f("uq_blocklist_hits_zone_id_ip_day_refused")),
    )
    op.create_index("ix_blocklist_hits_last_at", "blocklist_hits", ["last_at"])


def downgrade() -> None:
    """Undo."""
    op.drop_table("blocklist_hits")
    op.drop_table("blocklist_zones")
