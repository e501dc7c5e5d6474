"""One process tree for ``ingest up``: the embedded broker, the receiver, the console, workers, beat.

Children have sessions of their own, so that Ctrl-C reaches the supervisor alone; they die with it even when it is killed. A child that
ends is started again, and that is said.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ingest import broker, store
from ingest.database import open_database
from ingest.home import make_private
from ingest.nudge import SEND, SETTLE
from ingest.processes import claim_of, die_with_parent, port_problem, with_ready_file
from ingest.settings import ConfigurationError, Settings

log = logging.getLogger(__name__)

#: All of it is gone so many seconds after the order to stop; workers cut their requests after four.
_STOP_SECONDS = 7.0
_START_SECONDS = 120.0
_LOG_LIMIT = 10 << 20
_CONFIGURATION_EXIT = 2
#: The embedded broker complains about a kernel setting that matters to servers with gigabytes of keys; ours has kilobytes.
_HARMLESS = ("Memory overcommit must be enabled",)
_URGENT = (" WARNING ", " ERROR ", " CRITICAL ", "[WARN", "[ERROR")
#: Lines of one part that reach the terminal within so many seconds; the rest stands in its log.
_MOST_LINES, _PER_SECONDS = 5, 30.0


@dataclass(slots=True)
class Part:
    """One child: how it starts, and how one sees that it works."""

    name: str
    command: list[str]
    is_up: Callable[["Part"], bool]
    ready_file: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    started_at: float = 0.0
    due_at: float = 0.0
    last_words: str = ""
    spoke_at: float = 0.0
    passing_since: float = 0.0
    passed_on: int = 0
    pump: threading.Thread | None = field(default=None, repr=False)


class StartFailed(Exception):
    """A part did not come up; what it said last."""


class Supervisor:
    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self._home = make_private(settings.home)
        self._run = make_private(self._home / "run")
        self._logs = make_private(self._home / "logs")
        self._stop = threading.Event()
        self._parts: list[Part] = []
        self._environment = {**os.environ, **_variables(settings)}

    def order_stop(self) -> None:
        self._stop.set()

    def serve(self) -> int:
        """Start, watch, and stop all parts; the exit code. ConfigurationError before anything was started."""
        settings = self._settings
        claim = claim_of(self._home)
        if not claim.take():
            raise ConfigurationError(
                f"A service runs on {self._home} already (process {claim.holder()}); stop it first, or set INGEST_HOME to another folder"
            )
        if settings.port == settings.console_port and settings.port:
            raise ConfigurationError(
                f"The receiver and the console cannot share port {settings.port}; set INGEST_PORT and INGEST_CONSOLE_PORT apart"
            )
        for host, port, variable in (
            (settings.receiver_host, settings.port, "INGEST_PORT"),
            (settings.console_host, settings.console_port, "INGEST_CONSOLE_PORT"),
        ):
            if (problem := port_problem(host, port)) is not None:
                raise ConfigurationError(f"{problem}; choose another with {variable}")
        settings.signing_secret  # noqa: B018  (made before the children race for it)
        try:
            if not settings.redis_url:
                self._await_no_broker()
                self._start(self._broker_part())
                self._await([self._parts[0]], 15)
            elif not broker.answers(settings):
                raise ConfigurationError("The Redis of INGEST_REDIS_URL does not answer")
            token = self._first_token()
            parts = self._service_parts()
            for part in parts:
                self._start(part)
            self._await(parts, _START_SECONDS)
            if not self._stop.is_set():
                if token:
                    self._say(
                        f"open the console with this link, shown this once: {settings.console_url}/?token={token}"
                    )
                self._say(
                    f"ready: receiver http://{_shown(settings.receiver_host)}:{settings.port}, "
                    f"console {settings.console_url}"
                )
            while not self._stop.wait(0.2):
                self._watch()
        except StartFailed as error:
            self._say(str(error))
            return _CONFIGURATION_EXIT
        finally:
            self._stop_all()
        return 0

    def _first_token(self) -> str | None:
        """Brings the schema up on its way."""
        database = open_database(self._settings.database)
        try:
            with database.write() as session:
                return store.first_token(session)
        finally:
            database.dispose()

    def _await_no_broker(self) -> None:
        """The server of a service that was killed may still be going down; it would take the new one's socket with it."""
        deadline = time.monotonic() + 10
        while broker.answers(self._settings):
            if time.monotonic() > deadline:
                raise StartFailed(f"a broker that is not ours runs on {self._home}; end it first")
            self._stop.wait(0.1)

    def _broker_part(self) -> Part:
        return Part("broker", broker.server_command(self._home), lambda _: broker.answers(self._settings))

    def _service_parts(self) -> list[Part]:
        settings = self._settings
        # -P: a folder of the user named like one of our packages must not stand in for it.
        python = [sys.executable, "-P", "-m"]
        web = f"http://{_shown(settings.receiver_host)}:{settings.port}/healthz"
        console = f"{settings.console_url}/healthz"
        return [
            Part("web", [*python, "webhooks"], lambda _: _answers(web)),
            Part("console", [*python, "console"], lambda _: _answers(console)),
            # Two workers: what settles must not wait behind uploads that take minutes.
            self._ready_part("worker-send", [*python, "workers", "worker", "--queues", SEND]),
            self._ready_part("worker-settle", [*python, "workers", "worker", "--queues", SETTLE]),
            self._ready_part("beat", [*python, "workers", "beat"]),
        ]

    def _ready_part(self, name: str, command: list[str]) -> Part:
        return Part(name, command, _said_ready, self._run / f"{name}.ready")

    def _start(self, part: Part) -> None:
        if part not in self._parts:
            self._parts.append(part)
        environment = self._environment
        if part.ready_file is not None:
            part.ready_file.unlink(missing_ok=True)
            environment = environment | with_ready_file(part.ready_file)
        # preexec_fn: PDEATHSIG is tied to the thread that forks, so parts are started from the main thread only.
        part.process = subprocess.Popen(
            part.command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        part.started_at = time.monotonic()
        assert part.process.stdout is not None
        part.pump = threading.Thread(target=self._pump, args=(part, part.process.stdout), daemon=True)
        part.pump.start()

    def _pump(self, part: Part, source: IO[bytes]) -> None:
        """A part's words: all into its log, the urgent ones to the terminal too."""
        path = self._logs / f"{part.name}.log"
        if path.exists() and path.stat().st_size > _LOG_LIMIT:
            path.replace(path.with_suffix(".log.1"))
        with path.open("ab", buffering=0) as target:
            for line in source:
                with suppress(
                    OSError
                ):  # a full disk: the words are lost, but a pipe that nobody drains would block the part
                    target.write(line)
                text = line.decode("utf-8", "replace").rstrip()
                if text.strip():
                    part.last_words, part.spoke_at = text, time.monotonic()
                if _is_urgent(text) and not self._stop.is_set():
                    self._pass_on(part, text)

    def _pass_on(self, part: Part, text: str) -> None:
        """A part's urgent words to the terminal, but no flood of them."""
        now = time.monotonic()
        if now - part.passing_since > _PER_SECONDS:
            part.passing_since, part.passed_on = now, 0
        part.passed_on += 1
        more = f" (more in {self._logs / part.name}.log)" if part.passed_on == _MOST_LINES else ""
        if part.passed_on <= _MOST_LINES:
            with suppress(OSError):
                self._say(f"[{part.name}] {text}{more}")

    def _await(self, parts: list[Part], seconds: float) -> None:
        """Until each of ``parts`` works. A part that ends before is a failed start."""
        deadline = time.monotonic() + seconds
        waiting = list(parts)
        while waiting and not self._stop.is_set():
            part = waiting[0]
            assert part.process is not None
            if part.is_up(part):
                waiting.pop(0)
            elif (code := part.process.poll()) is not None:
                assert part.pump is not None
                part.pump.join(timeout=2)
                raise StartFailed(f"{part.name} did not start (exit {code}): {part.last_words or 'it said nothing'}")
            elif time.monotonic() > deadline:
                raise StartFailed(
                    f"{part.name} did not come up within {seconds:.0f} s; see {self._logs / part.name}.log"
                )
            else:
                self._stop.wait(0.05)

    def _watch(self) -> None:
        now = time.monotonic()
        for part in self._parts:
            assert part.process is not None
            code = part.process.poll()
            if code is None:
                if now - part.started_at > 60:
                    part.deaths = 0
            elif part.due_at == 0.0:
                # At once the first time, then slower: a part that cannot live must not eat the machine.
                wait = min(10.0, 0.5 * part.deaths)
                part.deaths += 1
                part.due_at = now + wait
                # What it said long ago, or before it was killed, explains nothing.
                why = f": {part.last_words}" if code >= 0 and now - part.spoke_at < 2 else ""
                self._say(f"{part.name} ended ({_say_exit(code)}){why}; starting it again")
            elif now >= part.due_at:
                part.due_at = 0.0
                self._start(part)

    def _stop_all(self) -> None:
        if self._stop.is_set():
            self._say("stopping")
        deadline = time.monotonic() + _STOP_SECONDS
        services = [part for part in self._parts if part.name != "broker"]
        _signal_all(services, signal.SIGTERM)
        _await_end(services, deadline)
        # The broker goes last: workers acknowledge their messages until the end.
        last = [part for part in self._parts if part.name == "broker"]
        _signal_all(last, signal.SIGTERM)
        _await_end(last, deadline + 1.0)


def _signal_all(parts: list[Part], number: signal.Signals) -> None:
    for part in parts:
        if part.process is not None and part.process.poll() is None:
            part.process.send_signal(number)


def _await_end(parts: list[Part], deadline: float) -> None:
    for part in parts:
        if part.process is None:
            continue
        with suppress(subprocess.TimeoutExpired):
            part.process.wait(max(0.05, deadline - time.monotonic()))
        # Each part leads its session: whatever it left behind ends with it.
        try:
            os.killpg(part.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        finally:
            part.process.wait()


def _is_urgent(line: str) -> bool:
    return any(mark in line for mark in _URGENT) and not any(words in line for words in _HARMLESS)


def _said_ready(part: Part) -> bool:
    return part.ready_file is not None and part.ready_file.exists()


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=1) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _shown(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host


def _say_exit(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit {code}"


def _variables(settings: Settings) -> dict[str, str]:
    """What the command line changed must reach the children as their environment."""
    return {
        "INGEST_HOME": str(settings.home),
        "INGEST_PORT": str(settings.port),
        "INGEST_CONSOLE_PORT": str(settings.console_port),
        "PYTHONUNBUFFERED": "1",
    }
