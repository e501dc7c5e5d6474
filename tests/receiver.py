"""The receiver alone, in a process of its own, for tests."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
from sqlalchemy import select

from ingest.database import Database, open_database
from ingest.models import Callback
from ingest.processes import free_port
from tests.service import eventually

SECRET = "a secret for tests"


class Receiver:
    def __init__(self, home: Path, database_url: str) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database: Database = open_database(database_url)
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("INGEST_", "MEMORIES_"))}
        variables = {"INGEST_HOME": str(self.home), "INGEST_SECRET": SECRET, "INGEST_PORT": str(self.port)} | {
            "INGEST_DATABASE_URL": self.database.url
        }
        with (self.home / "web.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "webhooks"],
                env=clean | variables,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(self._is_up, 90, "the receiver to answer")
        return process

    def _is_up(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=1).status_code == 200
        except httpx.TransportError:
            return False

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self.database.dispose()

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def restart(self) -> None:
        self.process = self._start()

    def post(self, door: str, token: str, body: bytes = b"{}", **options) -> httpx.Response:  # type: ignore[no-untyped-def]
        return httpx.post(f"{self.url}/webhooks/{door}/{token}", content=body, timeout=15, **options)

    def kept(self) -> list[Callback]:
        with self.database.read() as session:
            return list(session.execute(select(Callback).order_by(Callback.__table__.c.id)).scalars())  # type: ignore[attr-defined]
