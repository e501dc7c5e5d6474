"""The schema goes up, down and up again with data in it, and is what the models say."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from ingest import store
from ingest.database import Database, alembic_config, head_revision, migrate, revisions
from ingest.models import Job, metadata
from ingest.sources.found import Found, Kind

pytestmark = pytest.mark.integration


def test_up_down_and_up_again_with_data_in_the_tables(database_url: str) -> None:
    before, head = migrate(database_url)
    assert before is None
    database = Database(database_url)
    with database.write() as session:
        job = store.add_job(session, "add", ["x"], "default", "private")
        store.add_items(session, session.get_one(Job, job), [Found(Kind.LINK, "https://a/b.mp4", key="link:a")], {})
    database.dispose()
    command.downgrade(alembic_config(database_url), "base")
    assert revisions(database_url) == (None, head)
    assert migrate(database_url) == (None, head)
    assert migrate(database_url) == (head, head)


def test_the_schema_is_what_the_models_say(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "render_as_batch": True})
        differences = compare_metadata(context, metadata)
    # an index by expression cannot be read back on SQLite; the test below looks at the indexes by name
    assert [one for one in differences if "ix_item_claim" not in str(one)] == []


def test_every_index_of_the_models_is_in_the_schema(database: Database) -> None:
    catalogue = (
        "SELECT name FROM sqlite_master WHERE type = 'index'"
        if database.is_sqlite
        else "SELECT indexname FROM pg_indexes"
    )
    with database.engine.connect() as connection:
        there = {name for (name,) in connection.execute(text(catalogue))}
    assert {index.name for table in metadata.tables.values() for index in table.indexes} <= there


def test_the_newest_file_is_the_head_of_the_chain() -> None:
    from alembic.script import ScriptDirectory

    assert ScriptDirectory.from_config(alembic_config("sqlite://")).get_current_head() == head_revision()


def test_two_starts_at_once_bring_the_schema_up_once(database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: migrate(database_url), range(4)))
    before, head = revisions(database_url)
    assert before == head
