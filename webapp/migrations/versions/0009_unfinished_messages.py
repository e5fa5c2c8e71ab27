"""Messages whose attachments are still to be fetched.

Revision: 0009, of 2026-11-25
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "unfinished_messages",
        sa.Column("message_id", sa.String(length=40), nullable=False),
        sa.Column("source", sa.LargeBinary(), nullable=False),
        sa.Column("links", sa.JSON(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["messages.id"],
            name=op.f("fk_unfinished_messages_message_id_messages"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_unfinished_messages")),
    )
    op.create_index(op.f("ix_unfinished_messages_due_at"), "unfinished_messages", ["due_at"], unique=False)


def downgrade() -> None:
    """Undo."""
    op.drop_table("unfinished_messages")
