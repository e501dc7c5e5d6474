"""``python -m workers worker|beat|alone``: what ``ingest worker`` and ``ingest beat`` become, and what a worker starts for suspects."""

import argparse
import logging
import os
import socket
import sys
import threading
import time

# Celery's own process titles would hide the name that people look for; it asks before its first import.
os.environ["NOSETPS"] = "1"

from celery.apps.beat import Beat
from setproctitle import setproctitle

from ingest import broker, nudge, queries
from ingest.clock import now_ms
from ingest.database import open_database
from ingest.home import NoHome
from ingest.lanes import Lane
from ingest.settings import ConfigurationError, Settings, load
from workers import alone
from workers.app import create_app
from workers.context import Post
from workers.isolation import NOT_STARTED

#: Turns wait for slots and uploads, so there are many; the rest is short.
_BROKER_SECONDS = 15.0
_THREADS = {nudge.SEND: 32, nudge.SETTLE: 6}


class _Clock(Beat):
    def set_process_title(self) -> None:
        setproctitle("ingest beat")


def _refuse_two_hosts_on_sqlite(settings: Settings) -> None:
    database = open_database(settings.database)
    if database.is_sqlite:
        alive = now_ms() - round(settings.timings.lease * 1000)
        with database.read() as session:
            others = queries.other_hosts(session, socket.gethostname(), alive)
        if others:
            raise ConfigurationError(
                f"A worker on {others[0]} uses the same SQLite database, which one host alone may; "
                "set INGEST_DATABASE_URL to a PostgreSQL for several hosts"
            )
    database.dispose()


def _await_broker(settings: Settings) -> None:
    """A broker that is being restarted beside us is waited for; one that is not there is said."""
    deadline = time.monotonic() + _BROKER_SECONDS
    while not broker.answers(settings):
        if time.monotonic() > deadline:
            where = "The Redis of INGEST_REDIS_URL" if settings.redis_url else f"The broker of {settings.home}"
            raise ConfigurationError(f"{where} does not answer; start it with `ingest up`, or set INGEST_REDIS_URL")
        time.sleep(0.1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="ingest")
    parts = parser.add_subparsers(dest="part", required=True)
    worker = parts.add_parser("worker")
    worker.add_argument("--queues", default=f"{nudge.SEND},{nudge.SETTLE}")
    worker.add_argument("--threads", type=int, default=0)
    parts.add_parser("beat")
    alone_ = parts.add_parser("alone")
    alone_.add_argument("--submission", type=int, required=True)
    alone_.add_argument("--lane", type=Lane, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "celery.worker.strategy", "celery.app.trace", "celery.beat", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        settings = load()
        settings.require_key()
        # Celery swallows what its start signal raises, and would run on deaf; so what can be missing is tried here.
        settings.signing_secret  # noqa: B018
        _refuse_two_hosts_on_sqlite(settings)
        _await_broker(settings)
        queues = options.queues.split(",") if options.part == "worker" else []
        threads = getattr(options, "threads", 0) or sum(_THREADS.get(queue, 4) for queue in queues)
        ordered = threading.Event()
        app = create_app(settings, Post(",".join(queues), threads) if queues else None, ordered)
    except (ConfigurationError, NoHome) as error:
        print(error, file=sys.stderr)
        return NOT_STARTED if options.part == "alone" else 2
    except Exception:
        if options.part != "alone":
            raise
        # Whoever started it takes any other end for a death of the items.
        logging.getLogger(__name__).exception("The process of its own cannot begin")
        return NOT_STARTED
    setproctitle(f"ingest {options.part}")
    if options.part == "alone":
        # Outside of the net above: what ends it from here on is for its parent to judge.
        return alone.main(settings, options.lane, options.submission)
    if options.part == "beat":
        # Nothing to remember between runs: what is due stands in the rows, so the schedule may live in memory.
        _Clock(app=app, loglevel="WARNING", scheduler_cls="celery.beat:Scheduler", quiet=True).run()
        return 0
    if nudge.SEND in queues:
        import av  # noqa: F401  (from a cold disk it takes seconds, which the first slots would pay for)
    argv = [
        "worker",
        "--pool",
        "threads",
        "--concurrency",
        str(threads),
        "--queues",
        options.queues,
        "--loglevel",
        "INFO",
    ]
    ended: str | int | None = 0
    try:
        app.worker_main(
            [
                *argv,
                "--without-gossip",
                "--without-mingle",
                "--without-heartbeat",
                "--hostname",
                f"{queues[0]}@%h",
            ]
        )
    except SystemExit as leaving:
        ended = leaving.code
    # Celery also ends, and calls it well, when the broker refuses a command (a full disk): whoever started us must start us again.
    return 0 if ordered.is_set() and not ended else 1


if __name__ == "__main__":
    sys.exit(main())
