"""Sending limits of credentials and domains, and their counters.

Revision: 0003, of 2026-11-25
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_LIMITS = ("messages_per_hour", "messages_per_day", "recipients_per_message")


def upgrade() -> None:
    """Apply."""
    for table in ("credentials", "domains"):
        for name in _LIMITS:
            op.add_column(table, sa.Column(name, sa.Integer(), nullable=True))
    op.create_table(
        "send_counters",
        sa.Column("owner", sa.String(length=16), nullable=False),
        sa.Column("owner_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hour", sa.JSON(), nullable=False),
        sa.Column("day", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "owner_id", name=op.f("pk_send_counters")),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("send_counters")
    for table in ("credentials", "domains"):
        for name in _LIMITS:
            op.drop_column(table, name)
