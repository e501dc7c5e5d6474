"""A server whose parent is killed leaves nobody behind that holds its port, whenever it happens."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ingest.processes import free_port, port_problem
from tests.service import eventually

pytestmark = pytest.mark.acceptance


def test_a_receiver_killed_while_its_server_starts_frees_its_port(home: Path) -> None:
    home.mkdir(parents=True)
    port = free_port()
    variables = {"INGEST_HOME": str(home), "INGEST_SECRET": "a secret for tests", "INGEST_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "webhooks"], env=os.environ | variables, stderr=subprocess.DEVNULL
    )
    # the very moment at which its child exists, long before that has said whom it dies with
    (child,) = eventually(lambda: psutil.Process(process.pid).children(), 60, "the server to start")
    process.send_signal(signal.SIGKILL)
    process.wait()
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 60, "the child to end")
    assert port_problem("127.0.0.1", port) is None
