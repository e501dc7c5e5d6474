"""Runs the revisions. Batch mode, so that SQLite can alter tables; one lock, so that two starts at once do not collide."""

from alembic import context
from sqlalchemy import text

from ingest.database import Database
from ingest.models import metadata

database = Database(context.config.attributes["url"])

with database.engine.connect().execution_options(ingest_write=True) as connection:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=True,
        compare_type=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        if not database.is_sqlite:  # SQLite's BEGIN IMMEDIATE is the lock already
            connection.execute(text("SELECT pg_advisory_xact_lock(721003)"))
        context.run_migrations()
    if connection.in_transaction():
        connection.commit()
database.dispose()
