"""Wake the workers: send a Celery task by name, after the commit. The only place in ``ingest`` that knows Celery.

A nudge may be lost, doubled or late without harm, because the rows are the truth and the sweep looks at them every second; so a
failure is logged and nothing more, and nobody waits long for it.
"""

import logging

from celery import Celery
from kombu.exceptions import KombuError, OperationalError
from redis import RedisError

from ingest import broker
from ingest.lanes import Lane
from ingest.settings import Settings

log = logging.getLogger(__name__)

#: Queues: ``send`` holds turns, which wait for slots and uploads; ``settle`` what must not wait behind them.
SEND, SETTLE = "send", "settle"
TURN = "workers.turn"
#: A message that does nothing but go through.
CANARY = "workers.canary"
#: A nudge nobody took for so long is stale: the sweep has sent others, seconds.
STALE = 30

#: Without these, a broker that stops answering without closing its sockets hangs a process for good (measured with celery 5.7).
#: Dead sockets are found one after the other (ack, consumer, slots, producer), so it is their sum that people wait for.
TRANSPORT_OPTIONS = {
    "socket_timeout": 3,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
    "health_check_interval": 3,
    "visibility_timeout": 3600,
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
    "global_keyprefix": "ingest:",
}


def make_celery(settings: Settings, name: str = "memories-ingest") -> Celery:
    """The Celery application as every process of ours configures it."""
    app = Celery(name, broker=broker.celery_url(settings), set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_default_queue=SETTLE,
        task_store_errors_even_if_ignored=False,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=dict(TRANSPORT_OPTIONS),
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0.1, "interval_max": 0.2},
        enable_utc=True,
    )
    return app


def waiting(app: Celery, queue: str) -> int | None:
    """Messages of a queue that nobody took yet; None when the broker does not say."""
    try:
        with app.pool.acquire(block=True, timeout=2) as connection:
            # Not a passive queue_declare: kombu asks EXISTS without our key prefix, so no queue is ever there.
            return int(connection.default_channel.client.llen(queue))
    except (KombuError, OSError, RedisError):
        return None


class Nudger:
    """Sends turns and canaries. One per process."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def turn(self, lane: Lane, count: int = 1) -> None:
        """Wake ``count`` turns of a lane."""
        for _ in range(count):
            if not self._send(TURN, lane.value):
                return

    def canary(self) -> None:
        """Through the queue that has no ticks of its own: a send worker without work must be told from a deaf one."""
        self._send(CANARY)

    def _send(self, task: str, *args: str) -> bool:
        try:
            self._app.send_task(task, args=list(args), queue=SEND, expires=STALE, ignore_result=True)
        except (OperationalError, OSError) as error:
            log.warning("The broker did not take %s (the next tick sends another): %s", " ".join([task, *args]), error)
            return False
        return True
