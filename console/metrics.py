"""``/metrics`` in the words of Prometheus: where everything stands, read from the database and from Redis when somebody asks.

No process counts anything in its own memory, so it does not matter how many there are, which of them is asked, or how often they start
anew: what is counted stands in the tallies (``ingest.store``, "Counting") and, for calls that left, in Redis.

What one scrape costs does not grow with the items. Counts are tallies plus what was not folded into them yet (some hundred events while a
worker lives); everything else is a handful of rows, or the first 10,000 entries of a partial index. Redis is asked in two trips. At a
million items, half of them waiting, that is some fifty milliseconds (a second where a million changes were made while no worker lived to
count them).

Labels are closed sets, and each member is there from the first scrape on: no job, address, host or creator makes a series, and a counter
begins at 0, so that its first step is seen.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import registry as prometheus
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString
from sqlmodel import Session

from ingest import queries
from ingest.clock import now_ms
from ingest.database import Database
from ingest.lanes import ALSO, SENDING_LANES, Lane, Limit
from ingest.models import Worker
from ingest.nudge import SEND, SETTLE
from ingest.quota import Outlook, Quota, QuotaUnavailable
from ingest.settings import Account, Settings
from ingest.statuses import OPEN
from ingest.tokens import ACCOUNT_DOOR, DOORS

#: What became of a submission. One that was lost and is answered late counts as both.
SUBMISSION_OUTCOMES = ("accepted", "refused", "released", "lost")
#: What became of a callback each time it was looked at.
CALLBACK_OUTCOMES = ("applied", "parked", "unmatched", "malformed")
#: A person had callbacks applied once more, through whatever door they came.
_REPLAYED = ("any", "replayed")
#: Lanes whose items are settled by callbacks and questions; the answers of the others have it all, or nobody can be asked.
SETTLED_LANES = (Lane.UPLOAD, Lane.SCRAPE)
PAUSED_BY = ("vendor", "upstream", "operator")
QUEUES = (SEND, SETTLE)

_Sample = tuple[Sequence[str], float]


class Collector(prometheus.Collector):
    """Reads at each scrape. ``quota`` may be a function, where Redis is connected later; None reads as Redis being down.

    A database that does not answer raises what SQLAlchemy raises: without it there is nothing to say.
    """

    def __init__(
        self, settings: Settings, database: Database, quota: Quota | Callable[[], Quota | None] | None
    ) -> None:
        self._settings = settings
        self._database = database
        self._quota = quota

    def collect(self) -> Iterator[Metric]:
        settings = self._settings
        accounts = {lane: settings.account_for(lane) for lane in Lane}
        with self._database.read() as session:
            now = now_ms()
            read = [
                *_items(session),
                *_tallies(session),
                *_due(session, now),
                *_pauses(session, accounts),
                *_inbox(session, now),
                *_workers(session, now, now - round(settings.timings.lease * 1000)),
            ]
        yield from read
        yield _gauge(
            "callbacks_expected",
            "1 where a public URL is configured, so that Memories.ai calls back.",
            bool(settings.public_url),
        )
        yield _gauge("up_database", "1: the database answered. Where it does not, the scrape fails as a whole.", 1)
        yield _allowed(settings.limits)
        seen = self._peek(accounts)
        yield _gauge(
            "up_redis",
            "1 where Redis answered; what it knows of the lanes is absent where it did not.",
            seen is not None,
        )
        yield from _lanes(seen or {})

    def _peek(self, accounts: Mapping[Lane, Account]) -> dict[Lane, Outlook] | None:
        quota = self._quota() if callable(self._quota) else self._quota
        try:
            return quota.peek_all(accounts) if quota is not None else None
        except QuotaUnavailable:
            return None


def exposition(collector: Collector) -> tuple[bytes, str]:
    """What Prometheus reads, and its content type."""
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"ingest_{name}", words, value=float(value))


def _gauges(name: str, words: str, labels: Sequence[str], samples: Iterable[_Sample]) -> Metric:
    family = GaugeMetricFamily(f"ingest_{name}", words, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _counters(name: str, words: str, labels: Sequence[str], samples: Iterable[_Sample]) -> Metric:
    family = CounterMetricFamily(f"ingest_{name}", words, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _age(since: int, now: int) -> float:
    """Seconds; hosts whose clocks differ a little must not make it negative."""
    return max(0, now - since) / 1000


# From the database


def _items(session: Session) -> list[Metric]:
    counts = queries.counts(session)
    return [
        _gauges("items", "Items by status.", ["status"], (([status], n) for status, n in counts.items())),
        _counters(
            "events",
            "Changes of items: of status, or of something else their rows show.",
            [],
            [([], queries.version(session))],
        ),
        _gauge(
            "duplicates_upstream",
            "Items with a second video at Memories.ai (10000: or more).",
            queries.doubled(session),
        ),
    ]


def _tallies(session: Session) -> list[Metric]:
    # One statement, so that buckets, counts and sums are of one moment.
    counted = queries.tallies(session, "submission", "callback", "no_callback", "stayed", "stayed_ms")
    callbacks = [*((door, outcome) for door in (*DOORS, ACCOUNT_DOOR) for outcome in CALLBACK_OUTCOMES), _REPLAYED]

    def samples(name: str, labels: Iterable[Sequence[str]]) -> list[_Sample]:
        return [(values, counted.get((name, " ".join(values)), 0)) for values in labels]

    return [
        _counters(
            "submissions",
            "Upstream calls that change something, by what became of them; one that was lost and is answered late counts as both.",
            ["lane", "outcome"],
            samples("submission", [(lane, outcome) for lane in SENDING_LANES for outcome in SUBMISSION_OUTCOMES]),
        ),
        _counters(
            "callbacks",
            "Callbacks by what became of them, each time one was looked at; replayed by a person: door any.",
            ["door", "outcome"],
            samples("callback", callbacks),
        ),
        _counters(
            "settled_without_callback",
            "Videos that were settled by asking alone.",
            ["lane"],
            samples("no_callback", [[lane] for lane in SETTLED_LANES]),
        ),
        _durations(counted),
    ]


def _durations(counted: Mapping[tuple[str, str], int]) -> Metric:
    family = HistogramMetricFamily(
        "ingest_status_duration_seconds",
        "How long items were in a status that they left, at most some seconds late; QUEUED is the wait for the lane.",
        labels=["lane", "status"],
    )
    by_bound: dict[tuple[str, str], dict[float, int]] = {}
    for (name, label), n in counted.items():
        if name == "stayed":
            lane, status, bound = label.split(" ")
            by_bound.setdefault((lane, status), {})[float(bound)] = n
    for lane in SENDING_LANES:
        for status in OPEN:
            found = by_bound.get((lane, status), {})
            # By value: what an older version counted under another bound belongs to the next one.
            buckets = [
                (floatToGoString(bound), sum(n for upto, n in found.items() if upto <= bound))
                for bound in (*queries.BUCKETS, float("inf"))
            ]
            family.add_metric([lane, status], buckets, counted.get(("stayed_ms", f"{lane} {status}"), 0) / 1000)
    return family


def _due(session: Session, now: int) -> list[Metric]:
    found = {lane: queries.due_on_lane(session, lane, now) for lane in SENDING_LANES}
    ages = (([lane], _age(due.since, now) if due else 0) for lane, due in found.items())
    numbers = (([lane], due.items if due else 0) for lane, due in found.items())
    return [
        _gauges(
            "oldest_due_age_seconds",
            "Since when the oldest item that could be sent now waits, of the first 10000 in line; 0 where none does.",
            ["lane"],
            ages,
        ),
        _gauges(
            "due_items",
            "Items that could be sent now, of the first 10000 in line, without those of paused jobs.",
            ["lane"],
            numbers,
        ),
    ]


def _pauses(session: Session, accounts: Mapping[Lane, Account]) -> list[Metric]:
    named = {account.scope: account for account in accounts.values()}
    # An account each: a pause for a key that is not configured any more does not count.
    standing = {
        scope: {(one.scope, one.by) for one in queries.pauses(session, account)} for scope, account in named.items()
    }

    def lanes() -> Iterator[_Sample]:
        for lane, account in accounts.items():
            held = standing[account.scope]
            for by in PAUSED_BY:
                yield [lane, "account", by], float((account.scope, by) in held)
                own = any((f"lane:{one}", by) in held for one in (lane, *ALSO.get(lane, ())))
                yield [lane, "lane", by], float(own)

    return [
        _gauges(
            "account_paused",
            "1 while an account is paused; account:caption is there where captions have a key of their own.",
            ["account", "by"],
            (([scope, by], float((scope, by) in held)) for scope, held in standing.items() for by in PAUSED_BY),
        ),
        _gauges(
            "lane_paused",
            "1 while a lane makes no calls, because its account or a lane that its calls count against is paused.",
            ["lane", "scope", "by"],
            lanes(),
        ),
    ]


def _inbox(session: Session, now: int) -> list[Metric]:
    waiting = queries.waiting_callbacks(session)
    return [
        _gauges(
            "inbox_callbacks",
            "Callbacks that wait: new, or parked because they name nothing known yet; of the first 10000.",
            ["state"],
            [(["new"], waiting.new), (["parked"], waiting.parked)],
        ),
        _gauge(
            "inbox_lag_seconds",
            "Since when the oldest callback that nobody looked at waits; 0 where none does.",
            _age(waiting.due_new, now) if waiting.due_new is not None else 0,
        ),
    ]


def _workers(session: Session, now: int, since: int) -> list[Metric]:
    alive = [one for one in queries.living_workers(session, since) if one.stopping_at is None]
    serving = {queue: [one for one in alive if _serves(one, queue)] for queue in QUEUES}
    # One that took nothing yet counts from its start, as for the doctor.
    took = {queue: max((one.took_at or one.started_at for one in of), default=None) for queue, of in serving.items()}
    found = [
        _gauges(
            "workers",
            "Worker processes that live and were not told to stop, by the queue they serve.",
            ["queue"],
            (([queue], len(of)) for queue, of in serving.items()),
        ),
        _gauges(
            "canary_age_seconds",
            "Since when no living worker of a queue took a message, as of their last heartbeats; absent where none lives.",
            ["queue"],
            (([queue], _age(at, now)) for queue, at in took.items() if at is not None),
        ),
    ]
    youngest = queries.youngest_heartbeat(session)
    if youngest is not None:
        words = "Age of the youngest heartbeat of any worker; absent where none was seen for a day."
        found.append(_gauge("heartbeat_age_seconds", words, _age(youngest, now)))
    return found


def _serves(worker: Worker, queue: str) -> bool:
    """A worker that does not say what it listens to may serve any."""
    queues = [name.strip() for name in worker.queues.split(",") if name.strip()]
    return not queues or queue in queues


# Of the lanes


def _allowed(limits: Mapping[Lane, Limit | None]) -> Metric:
    return _gauges(
        "lane_allowed_calls_per_second",
        "The limit of a lane as configured; absent where it has none.",
        ["lane"],
        (([lane], limit.calls / limit.window) for lane, limit in limits.items() if limit is not None),
    )


def _lanes(seen: Mapping[Lane, Outlook]) -> list[Metric]:
    if not seen:
        return []
    return [
        _counters(
            "lane_calls",
            "Requests that left under a lane's limit; absent where it has none. Begins anew when the lane idled for a day.",
            ["lane"],
            (([lane], one.sent) for lane, one in seen.items() if one.sent is not None),
        ),
        _gauges(
            "lane_margin_seconds",
            "What refusals (0429) have added to the interval between two calls.",
            ["lane"],
            (([lane], one.margin) for lane, one in seen.items()),
        ),
        _gauges(
            "lane_next_slot_seconds",
            "Until the next call may leave.",
            ["lane"],
            (([lane], one.next_slot) for lane, one in seen.items()),
        ),
        _gauges(
            "lane_in_line",
            "Turns that stand in line for a slot.",
            ["lane"],
            (([lane], one.in_line) for lane, one in seen.items()),
        ),
    ]
