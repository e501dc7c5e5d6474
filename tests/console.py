"""The console alone, in a process of its own, and a database in which there is something of everything, for tests."""

from pathlib import Path

import httpx
from sqlmodel import Session

from ingest import queries, store
from ingest.access import Role
from ingest.clock import now_ms
from ingest.database import Database, open_database
from ingest.lanes import Lane
from ingest.models import CALLBACK_STATES, Callback, Job
from ingest.sources.found import Found, Kind
from ingest.statuses import News
from tests.door import Door
from tests.service import KEY

#: Nothing is to be had there.
NOBODY = "http://127.0.0.1:9"


class Console(Door):
    """``operate`` and ``read`` are tokens for it."""

    def __init__(self, home: Path, **variables: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.database: Database = open_database(variables.get("INGEST_DATABASE_URL") or f"sqlite:///{home}/ingest.db")
        with self.database.write() as session:
            self.operate = store.add_token(session, "tests", Role.OPERATE) or ""
            self.read = store.add_token(session, "reader", Role.READ) or ""
        vendor = {"MEMORIES_API_KEY": KEY, "MEMORIES_API_URL": NOBODY}
        super().__init__("console", "INGEST_CONSOLE_PORT", home, **vendor | variables)

    def client(self, token: str | None = None) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=bearer(token or self.operate), timeout=30)

    def end(self) -> None:
        super().end()
        self.database.dispose()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def fill(database: Database) -> None:
    """Jobs, items in every status, submissions, callbacks in every state, a pause."""
    with database.write() as session:
        first = _job(session, [f"https://media.example/{number}.mp4" for number in range(30)])
        _job(session, [f"https://media.example/{number}.mp4" for number in range(28, 34)])  # two are copies
        items = [one.id or 0 for one in queries.items(session, job_id=first)]
    with database.write() as session:
        for _ in range(2):
            claimed = store.claim(session, Lane.UPLOAD, "account", 3600)
        assert claimed is not None and claimed.submission.id is not None
        store.lost(session, claimed.submission.id, claimed.fences, "time-out", ended_at=now_ms(), sent_at=now_ms())
    with database.write() as session:
        for item in items[3:10]:
            store.tell(session, item, News.ACCEPTED, values={"video_no": f"VI{item}"})
        store.tell(session, items[2], News.UNFIT, values={"error_code": "empty", "error": "The file is empty."})
        store.tell(session, items[4], News.BROKEN, values={"error_code": "not_indexed", "error": "it is broken"})
        store.tell(session, items[5], News.EXPIRED, values={"error_code": "not_ready", "error": "it took too long"})
        store.tell(session, items[6], News.READY)
        store.tell(session, items[7], News.READY)
        store.note_second_video(session, items[7], "VI-second")
        for state in CALLBACK_STATES:
            body = b"\xff no JSON" if state == "malformed" else b'{"videoNo": "VI1"}'
            row = Callback(kind="upload", body=body, received_at=now_ms(), due_at=now_ms(), state=state, note="a note")
            session.add(row)
        store.pause_by_operator(session, "lane:scrape", "paused by an operator: for tests", None)
    list(store.cancel_items(database, items[12:14]))


def _job(session: Session, links: list[str]) -> int:
    job = store.add_job(session, "add", links, "default", "private")
    store.add_items(session, session.get_one(Job, job), [Found(Kind.LINK, one, key=f"link:{one}") for one in links], {})
    return job
