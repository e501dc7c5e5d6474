"""captions and pictures: what is wished, what came of it, parts of a longer video, what makes pictures travel together

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("wish", sa.JSON()),
    ("result", sa.JSON()),
    ("parent_id", sa.Integer()),
    ("span", sa.JSON()),
    ("together", sa.String()),
)


def upgrade() -> None:
    for name, kind in _COLUMNS:
        op.add_column("item", sa.Column(name, kind, nullable=True))
    op.create_index(
        "ix_item_parent",
        "item",
        ["parent_id"],
        sqlite_where=sa.text("parent_id IS NOT NULL"),
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_item_parent", "item")
    for name, _ in reversed(_COLUMNS):
        op.drop_column("item", name)
