"""All checks, in the order in which they learn from each other."""

from collections.abc import Iterator

from ingest.doctor import around, machine, running, stores
from ingest.doctor.visit import Check, Result, Visit, examine

CHECKS = (
    Check("configuration", machine.configuration),
    Check("key", machine.key),
    Check("state folder", machine.state_folder),
    Check("database", stores.database),
    Check("secret", machine.secret),
    Check("redis", stores.redis_server),
    Check("service", running.service),
    Check("upstream", around.upstream, seconds=15.0),
    Check("clock", around.clock),
    Check("ports", machine.ports),
    Check("public address", around.public_address),
    Check("workers", running.workers),
    Check("beat", running.beat),
    Check("backlog", running.backlog),
    Check("pauses", running.pauses),
    Check("callbacks", running.callbacks),
    # From a cold disk they take seconds to load.
    Check("video library", machine.video_library, seconds=30.0),
    Check("yt-dlp", machine.yt_dlp, seconds=30.0),
)


def run() -> Iterator[Result]:
    return examine(CHECKS, Visit())
