"""creators on a schedule: what is followed and how, each look with its report, the posts seen, their numbers over time

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _ms(name: str, *, nullable: bool = True) -> sa.Column:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _number(name: str) -> sa.Column:
    return sa.Column(name, sa.Integer(), nullable=False)


def upgrade() -> None:
    op.drop_table("creator")  # nothing ever wrote to the first draft of it
    op.create_table(
        "creator",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        *[sa.Column(name, sa.String(), nullable=False) for name in ("platform", "kind", "handle", "key")],
        *[sa.Column(name, sa.String(), nullable=False) for name in ("unique_id", "library", "mode")],
        _number("scrape_limit"),
        *[_number(name) for name in ("stop_after", "full_every", "not_before", "refresh_seconds")],
        sa.Column("every_seconds", sa.Integer(), nullable=True),
        sa.Column("cron", sa.String(), nullable=True),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("quiet", sa.String(), nullable=True),
        sa.Column("jitter", sa.String(), nullable=True),
        _ms("next_run_at"),
        _ms("refresh_at"),
        _ms("created_at", nullable=False),
        sa.Column("running_id", sa.Integer(), nullable=True),
        _number("runs"),
        _number("failures"),
        sa.Column("trouble", sa.String(), nullable=True),
        _ms("paused_at"),
        sa.Column("pause_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_creator_job_id_job"),
        sa.PrimaryKeyConstraint("id", name="pk_creator"),
    )
    op.create_index("ix_creator_due", "creator", ["next_run_at"])
    op.create_index("ix_creator_refresh", "creator", ["refresh_at"])
    op.create_index("uq_creator_followed", "creator", ["key", "unique_id", "library"], unique=True)
    op.create_table(
        "creator_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("creator_id", sa.Integer(), nullable=False),
        _ms("due_at", nullable=False),
        _ms("started_at", nullable=False),
        _ms("ended_at"),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("how", sa.String(), nullable=False),
        sa.Column("item_id", sa.Integer(), nullable=True),
        _ms("lease_until", nullable=False),
        *[_number(name) for name in ("tries", "seen", "new", "known", "gone", "changed", "calls")],
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["creator_id"], ["creator.id"], name="fk_creator_run_creator_id_creator"),
        sa.PrimaryKeyConstraint("id", name="pk_creator_run"),
    )
    op.create_index("uq_creator_run_due", "creator_run", ["creator_id", "due_at"], unique=True)
    running = sa.text("state = 'running'")
    op.create_index(
        "ix_creator_run_open", "creator_run", ["lease_until"], sqlite_where=running, postgresql_where=running
    )
    op.create_table(
        "creator_post",
        sa.Column("creator_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("item_id", sa.Integer(), nullable=True),
        _number("run_id"),
        _ms("published_at"),
        _ms("seen_at", nullable=False),
        _number("misses"),
        _ms("gone_at"),
        _ms("measure_at"),
        sa.ForeignKeyConstraint(["creator_id"], ["creator.id"], name="fk_creator_post_creator_id_creator"),
        sa.PrimaryKeyConstraint("creator_id", "key", name="pk_creator_post"),
    )
    op.create_index("ix_creator_post_item", "creator_post", ["item_id"])
    op.create_index("ix_creator_post_run", "creator_post", ["run_id"])
    due = sa.text("measure_at IS NOT NULL")
    op.create_index("ix_creator_post_measure", "creator_post", ["measure_at"], sqlite_where=due, postgresql_where=due)
    op.create_table(
        "measurement",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("creator_id", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.Integer(), nullable=False),
        _ms("at", nullable=False),
        *[_ms(name) for name in ("views", "likes", "shares", "comments")],
        sa.ForeignKeyConstraint(["creator_id"], ["creator.id"], name="fk_measurement_creator_id_creator"),
        sa.PrimaryKeyConstraint("id", name="pk_measurement"),
    )
    op.create_index("ix_measurement_item", "measurement", ["item_id", "at"])
    op.create_index("ix_measurement_creator", "measurement", ["creator_id", "at"])


def downgrade() -> None:
    for name in ("measurement", "creator_post", "creator_run", "creator"):
        op.drop_table(name)
    op.create_table(
        "creator",
        sa.Column("id", sa.Integer(), nullable=False),
        *[
            sa.Column(name, sa.String(), nullable=False)
            for name in ("url", "platform", "handle", "unique_id", "library")
        ],
        sa.Column("every_seconds", sa.Integer(), nullable=True),
        sa.Column("cron", sa.String(), nullable=True),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("scrape_limit", sa.Integer(), nullable=False),
        _ms("next_run_at"),
        _ms("created_at", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_creator"),
    )
