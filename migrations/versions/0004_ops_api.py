"""the ops API: an order of events, tallies that make counting cheap, tokens, answered requests, a page under each filter

Revision ID: 0004
Revises: 0003
"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_INDEXES = (
    ("ix_item_job", "job_id"),
    ("ix_item_kind", "kind"),
    ("ix_item_lane", "lane"),
    ("ix_item_namespace", "unique_id"),
)
_PARTIAL = (("ix_item_platform", "platform"), ("ix_item_error_code", "error_code"))
_TABLES = ("request", "token", "tick", "tally", "feed")


def upgrade() -> None:
    postgres = op.get_bind().dialect.name == "postgresql"
    if postgres:  # what is counted below must stand still
        op.execute("LOCK TABLE item, event, submission, callback IN SHARE ROW EXCLUSIVE MODE")
    op.add_column("event", sa.Column("lasted", sa.BigInteger(), nullable=True))
    op.add_column("event", sa.Column("tx", sa.BigInteger(), nullable=False, server_default="0"))
    if postgres:
        op.alter_column("event", "tx", server_default=sa.text("(pg_current_xact_id()::text)::bigint"))
    op.create_index("ix_event_feed", "event", ["tx", "id"])
    op.create_index("ix_callback_state", "callback", ["state", "id"])
    for name, column in _INDEXES:
        op.create_index(name, "item", [column, "id"])
    for name, column in _PARTIAL:
        there = sa.text(f"{column} IS NOT NULL")
        op.create_index(name, "item", [column, "id"], sqlite_where=there, postgresql_where=there)
    _create_tables()
    _count_what_is_there()


def _create_tables() -> None:
    op.create_table(
        "feed",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tx", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("forgotten_tx", sa.BigInteger(), nullable=False),
        sa.Column("forgotten_id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_feed"),
    )
    op.create_table(
        "tally",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "job_id", "label", name="pk_tally"),
    )
    op.create_table(
        "tick",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tick"),
    )
    op.create_table(
        "token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_token"),
    )
    op.create_table(
        "request",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("location", sa.String(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("key", name="pk_request"),
    )


def _count_what_is_there() -> None:
    op.execute("INSERT INTO tally SELECT 'items', job_id, status, count(*) FROM item GROUP BY job_id, status")
    op.execute("INSERT INTO tally SELECT 'items', 0, status, count(*) FROM item GROUP BY status")
    op.execute(
        "INSERT INTO tally SELECT 'submission', 0, lane || ' ' || state, count(*) FROM submission"
        " WHERE state <> 'open' GROUP BY lane, state"
    )
    op.execute(
        "INSERT INTO tally SELECT 'callback', 0, kind || ' ' || state, count(*) FROM callback"
        " WHERE state <> 'new' GROUP BY kind, state"
    )
    counted = sa.text("INSERT INTO feed SELECT 1, 0, coalesce(max(id), 0), 0, 0, :epoch FROM event")
    op.get_bind().execute(counted, {"epoch": secrets.token_hex(4)})


def downgrade() -> None:
    for name in _TABLES:
        op.drop_table(name)
    for name, _ in (*_PARTIAL, *_INDEXES):
        op.drop_index(name, "item")
    op.drop_index("ix_callback_state", "callback")
    op.drop_index("ix_event_feed", "event")
    op.drop_column("event", "tx")
    op.drop_column("event", "lasted")
