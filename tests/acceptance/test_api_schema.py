"""The running console does what its OpenAPI document says, whatever it is asked: schemathesis tries."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service import Service, sandbox

pytestmark = pytest.mark.acceptance

#: Of each operation in each phase; INGEST_TEST_EXAMPLES=300 for a long search.
EXAMPLES = os.environ.get("INGEST_TEST_EXAMPLES", "12")
LIMITS = "upload=off,scrape=off,image=off,list=off,task_status=off,detail=off,caption_video=off,caption_image=off,human_reid=off"


@pytest.mark.timeout(900)  # on a busy machine it takes its time
def test_nothing_that_schemathesis_asks_is_answered_otherwise_than_documented(home: Path) -> None:
    with sandbox("--limits", LIMITS) as vendor:
        service = Service(home, vendor.url, INGEST_LIMITS=LIMITS, MEMORIES_CAPTION_URL=vendor.url)
        with service.up():
            service.add("https://media.example/a.mp4", "https://www.tiktok.com/@a/video/7300000000000000001")
            token = service.run("tokens", "add", "schemathesis", "--operate").stdout.strip()
            command = [
                str(Path(sys.executable).with_name("st")),
                *("run", f"http://127.0.0.1:{service.console_port}/api/v1/openapi.json"),
                *("--header", f"Authorization: Bearer {token}"),
                # None left out: a wrong token is tried on each operation once, which is fewer than are slowed.
                *("--checks", "all"),
                *("--max-examples", EXAMPLES, "--workers", "1", "--no-color", "--max-failures", "20"),
            ]
            done = subprocess.run(command, cwd=home.parent, capture_output=True, text=True, timeout=800, check=False)
            service.let_go()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested" in done.stdout
