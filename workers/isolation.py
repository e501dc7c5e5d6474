"""Items that workers died with run in a process of their own (``workers.alone``); this is the side that starts it and judges its end.

Poison is told only by a worker that saw that process die and lives: who stops the service, or kills a worker, accuses nobody.
"""

import logging
import os
import subprocess
import sys
import threading
from typing import IO

from ingest import store
from ingest.clock import now_ms
from ingest.lanes import Lane
from ingest.processes import as_parent
from ingest.store import Claimed
from workers.context import GRACE, Context

log = logging.getLogger(__name__)

#: Exit codes of that process: it could not begin (its database or broker is away), or it met a fault of our own. Neither is a death.
NOT_STARTED, FAULT = 75, 70
#: What it prints right before the first byte leaves.
WRITING = "writing"
_LOOK = 0.2
_AFTER_NOT_STARTED, _AFTER_FAULT = 10.0, 60.0


def run(context: Context, lane: Lane, claimed: Claimed) -> None:
    """Send suspects in a process of their own, one such process at a time, and wait for it."""
    submission_id = claimed.submission.id
    assert submission_id is not None
    # Without waiting: a thread that waits here is one less for the healthy.
    if not context.alone.acquire(blocking=False):
        _nobody_died(context, claimed, None, "another item runs alone", _AFTER_NOT_STARTED)
        return
    try:
        _run_alone(context, lane, claimed, submission_id)
    finally:
        context.alone.release()


def _run_alone(context: Context, lane: Lane, claimed: Claimed, submission_id: int) -> None:
    with context.renewer.holding(submission_id):
        named = ", ".join(str(number) for number in list(claimed.fences)[:5])
        log.warning("Items %s were in the hands of workers that died; they run in a process of their own", named)
        try:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "workers",
                    "alone",
                    "--submission",
                    str(submission_id),
                    "--lane",
                    lane.value,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **as_parent()},
            )
        except OSError as error:  # no memory, no process number
            why = f"a process of its own could not be started: {error.strerror}"
            _nobody_died(context, claimed, None, why, _AFTER_NOT_STARTED)
            return
        words = _Words(process)
        code = _wait(context, process)
        words.join()
    _judge(context, claimed, code, words.writing_at)


class _Words:
    """Reads what the process says: when its request began to leave."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.writing_at: int | None = None
        assert process.stdout is not None
        self._thread = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._thread.start()

    def _read(self, source: IO[str]) -> None:
        with source:
            for line in source:
                if line.strip() == WRITING:
                    self.writing_at = now_ms()

    def join(self) -> None:
        self._thread.join()


def _wait(context: Context, process: "subprocess.Popen[str]") -> int:
    """The process's end; when the service stops it is told, and ended if it does not heed."""
    while not context.stop.is_set():
        try:
            return process.wait(_LOOK)
        except subprocess.TimeoutExpired:
            continue
    process.terminate()
    try:
        return process.wait(GRACE + 1.0)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _judge(context: Context, claimed: Claimed, code: int, writing_at: int | None) -> None:
    if code == 0:
        return  # whatever came of it, it wrote down itself
    if context.stop.is_set():
        _nobody_died(context, claimed, writing_at, "the service stopped")
    elif code == NOT_STARTED:
        _nobody_died(context, claimed, writing_at, "a process of its own could not begin", _AFTER_NOT_STARTED)
    elif code == FAULT:
        _nobody_died(
            context, claimed, writing_at, "the process that ran it alone met a fault, see its log", _AFTER_FAULT
        )
    else:
        words = f"the process that ran it alone died ({f'signal {-code}' if code < 0 else f'exit {code}'})"
        log.error("Items %s: %s", list(claimed.fences), words)
        with context.database.write() as session:
            store.killed(session, claimed, words, sent_at=writing_at)


def _nobody_died(context: Context, claimed: Claimed, writing_at: int | None, why: str, delay: float = 0.0) -> None:
    assert claimed.submission.id is not None
    with context.database.write() as session:
        if writing_at is None:
            store.released(session, claimed, why, delay_seconds=delay)
        else:
            store.lost(session, claimed.submission.id, claimed.fences, why, ended_at=now_ms(), sent_at=writing_at)
