"""Every periodic job, in one list, with its reason. Any number of beats may run: each job takes rows by compare-and-set."""

from collections.abc import Callable
from dataclasses import dataclass

from workers import canary, captions, creators, inbox, lists, numbers, questions, retention, sweep, tallies, unsure
from workers.context import Context


@dataclass(frozen=True, slots=True)
class Periodic:
    name: str
    run: Callable[[Context], None]
    every: float  # seconds
    reason: str


PERIODIC = (
    Periodic("workers.sweep", sweep.run, 1.0, "a lost nudge costs a second, a dead sender its lease"),
    Periodic("workers.inbox", inbox.run, 1.0, "callbacks are kept raw by the receiver and applied here in batches"),
    Periodic("workers.questions", questions.run, 1.0, "hints and due dates become answers"),
    Periodic("workers.unsure", unsure.run, 1.0, "lost answers are settled by asking"),
    Periodic("workers.creators", creators.run, 1.0, "followed profiles are looked at when they are due"),
    Periodic("workers.lists", lists.run, 2.0, "profiles that are listed by yt-dlp, one at a time in each process"),
    Periodic("workers.numbers", numbers.run, 5.0, "views and likes of public videos, as a series over time"),
    Periodic("workers.captions", captions.run, 1.0, "what nobody can be asked about ends at its deadline"),
    Periodic(
        "workers.send_canary", canary.run, 10.0, "a worker that takes no message is told from one that has no work"
    ),
    Periodic("workers.tallies", tallies.run, 2.0, "counts are read in no time as long as little is uncounted"),
    Periodic(
        "workers.retention", retention.run, 600.0, "raw callbacks and events go after a while, their effects stay"
    ),
)
