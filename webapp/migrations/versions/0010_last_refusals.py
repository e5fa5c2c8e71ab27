"""Find a credential's last refusal at once.

Revision: 0010, of 2026-11-25
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_refusals_credential_id_at", "refusals", ["credential_id", "at"])
    op.drop_index(op.f("ix_refusals_credential_id"), table_name="refusals")


def downgrade() -> None:
    """Take back."""
    op.create_index(op.f("ix_refusals_credential_id"), "refusals", ["credential_id"])
    op.drop_index("ix_refusals_credential_id_at", table_name="refusals")
