"""A switch for notices to senders, for each credential.

Revision: 0013, of 2026-11-25
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    # The default stays: taking it away would make SQLite build a table anew on which others depend.
    op.add_column("credentials", sa.Column("dsn_on_failure", sa.Boolean(), nullable=False, server_default=sa.true()))


def downgrade() -> None:
    """Undo."""
    op.drop_column("credentials", "dsn_on_failure")
