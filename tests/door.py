"""A door of ours in a process of its own: started, awaited, ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from ingest.processes import free_port
from tests.service import eventually


class Door:
    """``python -m PACKAGE`` on a home and a free port; ``variables`` are all that it is told, ``port_variable`` names its port."""

    def __init__(self, package: str, port_variable: str, home: Path, **variables: str) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._package, self._log = package, home / f"{package}.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("INGEST_", "MEMORIES_"))}
        self.environment = clean | {"INGEST_HOME": str(home), port_variable: str(self.port), **variables}
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", self._package],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(self.is_up, 90, f"{self._package} to answer")
        return process

    def is_up(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=1).status_code == 200
        except httpx.TransportError:
            return False

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def restart(self) -> None:
        self.process = self.start()
