"""The receiver alone, in a process of its own, for tests."""

from pathlib import Path

import httpx
from sqlalchemy import select

from ingest.database import Database, open_database
from ingest.models import Callback
from tests.door import Door

SECRET = "a secret for tests"


class Receiver(Door):
    def __init__(self, home: Path, database_url: str) -> None:
        self.database: Database = open_database(database_url)
        super().__init__("webhooks", "INGEST_PORT", home, INGEST_SECRET=SECRET, INGEST_DATABASE_URL=self.database.url)

    def end(self) -> None:
        super().end()
        self.database.dispose()

    def post(self, door: str, token: str, body: bytes = b"{}", **options) -> httpx.Response:  # type: ignore[no-untyped-def]
        return httpx.post(f"{self.url}/webhooks/{door}/{token}", content=body, timeout=15, **options)

    def kept(self) -> list[Callback]:
        with self.database.read() as session:
            return list(session.execute(select(Callback).order_by(Callback.__table__.c.id)).scalars())  # type: ignore[attr-defined]
