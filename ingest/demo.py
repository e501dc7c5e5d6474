"""``ingest demo``: the sandbox, the whole service and a sample library, to the end. No key, nothing leaves this machine.

It is the product itself: the same commands as a user types, in a state folder of its own that is emptied at each start.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ingest import queries
from ingest.cli import show
from ingest.database import open_database
from ingest.home import make_private
from ingest.models import Item
from ingest.processes import Claim, die_with_parent, free_port
from ingest.samples import make_library
from ingest.statuses import Status

Say = Callable[[str], None]

#: Generous, so that it takes seconds; the real limits are upload=1/s and scrape=1/min.
_LIMITS = "upload=5/s,scrape=1/2s"
_TIMINGS = "scrape=12s,poll=2s,unsure=10s,lease=10s"
_KEY = "sk-demo"
_STOP_SECONDS = 10

_LINKS = (
    "https://media.example/clips/sunrise.mp4",
    "https://media.example/clips/market.mp4",
    "https://media.example/clips/bad-gateway.mp4",
)
_POSTS = (
    "https://www.tiktok.com/@alice/video/7300000000000000001",
    "https://www.tiktok.com/@alice/video/7300000000000000002?is_from_webapp=1",
    "https://www.tiktok.com/@bob/video/7300000000000000003",
    "https://www.tiktok.com/@bob/video/7300000000000000004?gone=1",
    "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
    "https://youtu.be/dQw4w9WgXcQ",
    "https://www.youtube.com/shorts/aqz-KE-bpKQ",
)


def run(say: Say, *, keep: bool = False) -> int:
    """0 when every item ended as the sandbox says it should."""
    home = _home()
    with _own(home, say):
        say(f"state: {home} (emptied at each start)")
        library = make_library(home / "library")
        manifest = home / "links and posts.txt"
        manifest.write_text("# one source a line\n" + "\n".join((*_LINKS, *_POSTS)) + "\n")
        say(
            f"made a sample library of {len(list(library.iterdir()))} files, {len(_LINKS)} links and {len(_POSTS)} posts"
        )
        ports = (free_port(), free_port())
        with _sandbox(home) as vendor:
            say(f"sandbox of Memories.ai: {vendor} ({_LIMITS})")
            environment = _environment(home, vendor, ports)
            with _service(home, environment, say):
                add = [*_ingest("add"), str(library), str(manifest), "--wait"]
                say(f"$ ingest add {library.name}/ '{manifest.name}' --wait")
                code = subprocess.run(add, env=environment, cwd=home, check=False).returncode
                if code not in (0, 1):
                    say(f"the import ended with exit {code}; the logs are in {home / 'logs'}")
                    return 1
                wrong = _report(home, vendor, say)
                if keep:
                    say(f"the service stays up until Ctrl-C; look around with: INGEST_HOME='{home}' ingest status")
                    signal.pause()
    return 1 if wrong else 0


def _home() -> Path:
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data).absolute() / "memories-ingest-demo"


@contextmanager
def _own(home: Path, say: Say) -> Iterator[None]:
    """Empty the demo's folder, and nobody else's: a demo that still runs is not pulled from under its own feet."""
    make_private(home.parent)
    claim = Claim(home.with_suffix(".lock"))
    if not claim.take():
        say(f"another demo runs already (process {claim.holder()}); stop it first")
        raise SystemExit(2)
    if home.exists():
        shutil.rmtree(home)
    make_private(home)
    yield


def _ingest(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-c", "from ingest.cli import main; main()", *arguments]


def _environment(home: Path, vendor: str, ports: tuple[int, int]) -> dict[str, str]:
    """The demo's own configuration; whatever the user has set for real stays out. Children run in ``home``, so no .env is read."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("INGEST_", "MEMORIES_"))}
    return clean | {
        "INGEST_HOME": str(home),
        "MEMORIES_API_KEY": _KEY,
        "MEMORIES_API_URL": vendor,
        "MEMORIES_CAPTION_URL": vendor,
        "INGEST_PORT": str(ports[0]),
        "INGEST_CONSOLE_PORT": str(ports[1]),
        "INGEST_HOST": "127.0.0.1",
        "INGEST_PUBLIC_URL": f"http://127.0.0.1:{ports[0]}",
        "INGEST_LIMITS": _LIMITS,
        "INGEST_TIMINGS": _TIMINGS,
    }


@contextmanager
def _sandbox(home: Path) -> Iterator[str]:
    command = [sys.executable, "-P", "-m", "sandbox", "--port", "0", "--limits", _LIMITS, "--key", _KEY]
    with (home / "sandbox.log").open("wb") as log, _child(command, None, home, stderr=log) as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        if "http://" not in line:
            raise RuntimeError(f"the sandbox did not start; see {home / 'sandbox.log'}")
        yield "http://" + line.split("http://")[1].strip()


@contextmanager
def _service(home: Path, environment: dict[str, str], say: Say) -> Iterator[None]:
    say("$ ingest up")
    with _child(_ingest("up"), environment, home, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        for raw in process.stdout:
            line = raw.decode("utf-8", "replace").rstrip()
            if line.startswith("ready"):
                say(line)
                break
            if not line.startswith("state:"):
                say(line)
        else:
            raise RuntimeError(f"the service did not start; the logs are in {home / 'logs'}")
        yield


@contextmanager
def _child(
    command: list[str], environment: dict[str, str] | None, folder: Path, *, stderr: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A child of its own session: Ctrl-C comes to us, and we stop it."""
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _report(home: Path, vendor: str, say: Say) -> int:
    """What happened, why each item that failed did, and whether the vendor's truth agrees; how many do not."""
    truth = _truth(vendor)
    database = open_database(f"sqlite:///{home / 'ingest.db'}")
    with database.read() as session:
        found = list(queries.items(session))
    show.items_table(found)
    sys.stdout.flush()
    wrong = [item for item in found if not _agrees(item, truth)]
    for item in wrong:
        say(f"item {item.id} ({item.source}) is {item.status}, but the sandbox says otherwise")
    calls = {lane: numbers["accepted"] for lane, numbers in truth["calls"].items() if numbers["accepted"]}
    say("")
    say(f"calls accepted: {', '.join(f'{number} {lane}' for lane, number in sorted(calls.items()))}")
    say(f"calls over a limit: {len(truth['violations'])}; videos sent twice: {len(truth['duplicates'])}")
    say(f"{len(found) - len(wrong)} of {len(found)} items ended as the sandbox says they should")
    say("")
    say(f"look around (nothing runs any more):  INGEST_HOME='{home}' {_command()} show 1")
    say(f"with your own key:  export MEMORIES_API_KEY=...   {_command()} up   {_command()} add FOLDER --wait")
    database.dispose()
    return len(wrong) + len(truth["violations"]) + len(truth["duplicates"])


def _command() -> str:
    """How the user can call it: by name, or by its path where it is on no PATH."""
    if shutil.which("ingest"):
        return "ingest"
    path = Path(sys.executable).with_name("ingest")
    return os.path.relpath(path) if path.exists() else "ingest"


def _truth(vendor: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{vendor}/_sandbox/report", timeout=10) as response:
        return json.load(response)


def _agrees(item: Item, truth: Any) -> bool:
    """An item that was sent ends as the vendor's video did; one that was not, has no video there."""
    video = next((one for one in truth["videos"] if one["video_no"] == item.video_no), None)
    if item.status == Status.PARSE:
        return video is not None and video["status"] == "PARSE"
    if item.status == Status.FAIL and item.stage == "upstream":
        return video is not None and video["status"] == "FAILED"
    return item.status in (Status.FAIL, Status.SKIPPED) and video is None
