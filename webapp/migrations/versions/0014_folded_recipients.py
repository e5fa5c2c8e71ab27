"""Find messages by recipient whatever the case.

Revision: 0014, of 2026-11-25
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_deliveries_recipient_folded", "deliveries", [sa.text("lower(recipient)")])
    op.drop_index("ix_deliveries_recipient", table_name="deliveries")


def downgrade() -> None:
    """Undo."""
    op.create_index("ix_deliveries_recipient", "deliveries", ["recipient"])
    op.drop_index("ix_deliveries_recipient_folded", table_name="deliveries")
