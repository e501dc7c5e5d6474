"""first tables

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "callback",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("short_id", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_callback")),
    )
    with op.batch_alter_table("callback", schema=None) as batch_op:
        batch_op.create_index("ix_callback_submission", ["short_id"], unique=False)
        batch_op.create_index(
            "ix_callback_todo",
            ["due_at"],
            unique=False,
            sqlite_where=sa.text("state IN ('new', 'parked')"),
            postgresql_where=sa.text("state IN ('new', 'parked')"),
        )

    op.create_table(
        "creator",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("url", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("platform", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("handle", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("unique_id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("library", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("every_seconds", sa.Integer(), nullable=True),
        sa.Column("cron", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("zone", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("scrape_limit", sa.Integer(), nullable=False),
        sa.Column("next_run_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_creator")),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("old", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("new", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("news", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("submission_id", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.create_index("ix_event_item", ["item_id", "id"], unique=False)

    op.create_table(
        "job",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("command", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("unique_id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("library", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("cancelled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
    )
    op.create_table(
        "pause",
        sa.Column("scope", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("by", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("code", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("fingerprint", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "by", name=op.f("pk_pause")),
    )
    op.create_table(
        "submission",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("short_id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("operation", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("lane", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("unique_id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("library", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("account", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("state", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("item_ids", sa.JSON(), nullable=False),
        sa.Column("name_hint", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("worker", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("task_id", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("hinted_video_no", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("hinted_task_state", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("absences", sa.Integer(), nullable=False),
        sa.Column("absent_at", sa.BigInteger(), nullable=True),
        sa.Column("code", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("unmatched", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submission")),
        sa.UniqueConstraint("short_id", name=op.f("uq_submission_short_id")),
    )
    with op.batch_alter_table("submission", schema=None) as batch_op:
        batch_op.create_index(
            "ix_submission_lease",
            ["lease_until"],
            unique=False,
            sqlite_where=sa.text("state = 'open'"),
            postgresql_where=sa.text("state = 'open'"),
        )
        batch_op.create_index("ix_submission_task_id", ["task_id"], unique=False)

    op.create_table(
        "worker",
        sa.Column("name", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("host", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_worker")),
    )
    op.create_table(
        "item",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("kind", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("unique_id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("library", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("lane", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("status", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("platform", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("post_id", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("quality", sa.Integer(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=True),
        sa.Column("again", sa.Boolean(), nullable=False),
        sa.Column("holds", sa.Text(), nullable=True),
        sa.Column("twin_id", sa.Integer(), nullable=True),
        sa.Column("submission_id", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("hinted_at", sa.BigInteger(), nullable=True),
        sa.Column("video_no", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("task_id", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("stage", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("error_code", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("warning", sa.Text(), nullable=True),
        sa.Column("duplicate_upstream", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("accepted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_item_job_id_job")),
        sa.ForeignKeyConstraint(["submission_id"], ["submission.id"], name=op.f("fk_item_submission_id_submission")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_item")),
        sa.UniqueConstraint("holds", name=op.f("uq_item_holds")),
    )
    with op.batch_alter_table("item", schema=None) as batch_op:
        # By hand: an index by expression is passed over by autogenerate on SQLite.
        batch_op.create_index(
            "ix_item_claim",
            ["lane", sa.text("priority DESC"), "turn", "id"],
            unique=False,
            sqlite_where=sa.text("status = 'QUEUED'"),
            postgresql_where=sa.text("status = 'QUEUED'"),
        )
        batch_op.create_index(
            "ix_item_doubled",
            ["id"],
            unique=False,
            sqlite_where=sa.text("duplicate_upstream IS NOT NULL"),
            postgresql_where=sa.text("duplicate_upstream IS NOT NULL"),
        )
        batch_op.create_index("ix_item_due", ["status", "due_at"], unique=False)
        batch_op.create_index("ix_item_job_status", ["job_id", "status", "id"], unique=False)
        batch_op.create_index(
            "ix_item_late",
            ["due_at"],
            unique=False,
            sqlite_where=sa.text("stage = 'expired' AND hinted_at IS NOT NULL"),
            postgresql_where=sa.text("stage = 'expired' AND hinted_at IS NOT NULL"),
        )
        batch_op.create_index("ix_item_sha256", ["sha256"], unique=False)
        batch_op.create_index("ix_item_size", ["size", "unique_id"], unique=False)
        batch_op.create_index("ix_item_status", ["status", "id"], unique=False)
        batch_op.create_index("ix_item_submission", ["submission_id"], unique=False)
        batch_op.create_index("ix_item_twin", ["twin_id"], unique=False)
        batch_op.create_index("ix_item_video_no", ["video_no"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("item", schema=None) as batch_op:
        batch_op.drop_index("ix_item_video_no")
        batch_op.drop_index("ix_item_twin")
        batch_op.drop_index("ix_item_submission")
        batch_op.drop_index("ix_item_status")
        batch_op.drop_index("ix_item_size")
        batch_op.drop_index("ix_item_sha256")
        batch_op.drop_index(
            "ix_item_late",
            sqlite_where=sa.text("stage = 'expired' AND hinted_at IS NOT NULL"),
            postgresql_where=sa.text("stage = 'expired' AND hinted_at IS NOT NULL"),
        )
        batch_op.drop_index("ix_item_job_status")
        batch_op.drop_index("ix_item_due")
        batch_op.drop_index("ix_item_claim")
        batch_op.drop_index(
            "ix_item_doubled",
            sqlite_where=sa.text("duplicate_upstream IS NOT NULL"),
            postgresql_where=sa.text("duplicate_upstream IS NOT NULL"),
        )

    op.drop_table("item")
    op.drop_table("worker")
    with op.batch_alter_table("submission", schema=None) as batch_op:
        batch_op.drop_index("ix_submission_task_id")
        batch_op.drop_index(
            "ix_submission_lease", sqlite_where=sa.text("state = 'open'"), postgresql_where=sa.text("state = 'open'")
        )

    op.drop_table("submission")
    op.drop_table("pause")
    op.drop_table("job")
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.drop_index("ix_event_item")

    op.drop_table("event")
    op.drop_table("creator")
    with op.batch_alter_table("callback", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_callback_todo",
            sqlite_where=sa.text("state IN ('new', 'parked')"),
            postgresql_where=sa.text("state IN ('new', 'parked')"),
        )
        batch_op.drop_index("ix_callback_submission")

    op.drop_table("callback")
