"""operations: poison, retention, callbacks that wait for a name, workers that are deaf

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Plain statements, no batch: SQLite would have to build tables anew, and cannot read back an index by expression.


def upgrade() -> None:
    op.add_column("item", sa.Column("lost_workers", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("item", sa.Column("killed_alone", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("worker", sa.Column("queues", sa.String(), nullable=False, server_default=""))
    op.add_column("worker", sa.Column("took_at", sa.BigInteger(), nullable=True))
    op.add_column("worker", sa.Column("stopping_at", sa.BigInteger(), nullable=True))
    op.add_column("callback", sa.Column("subject", sa.String(), nullable=True))
    op.create_index(
        "ix_callback_parked",
        "callback",
        ["subject"],
        sqlite_where=sa.text("state = 'parked'"),
        postgresql_where=sa.text("state = 'parked'"),
    )
    op.create_index("ix_callback_received", "callback", ["received_at"])
    op.create_index("ix_event_at", "event", ["at"])


def downgrade() -> None:
    op.drop_index("ix_event_at", "event")
    op.drop_index("ix_callback_received", "callback")
    op.drop_index("ix_callback_parked", "callback")
    for table, columns in (
        ("callback", ["subject"]),
        ("worker", ["stopping_at", "took_at", "queues"]),
        ("item", ["killed_alone", "lost_workers"]),
    ):
        for column in columns:
            op.drop_column(table, column)
