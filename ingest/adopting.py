"""Read what the account holds already, under the limit of its lane."""

from collections.abc import Iterator

from ingest import broker, store
from ingest.database import Database
from ingest.lanes import Lane
from ingest.models import PRIVATE, Job
from ingest.quota import Quota, QuotaUnavailable, SlotGate, SlotLost, connect
from ingest.settings import ConfigurationError, Settings
from ingest.upstream.client import Upstream
from ingest.upstream.errors import UpstreamError
from ingest.upstream.fields import Video


def adopt(settings: Settings, database: Database, unique_id: str) -> tuple[int, store.Added]:
    """The job, and how many videos were new to us and how many known. ConfigurationError when it cannot be asked."""
    if not broker.answers(settings):
        raise ConfigurationError("The broker that keeps the limits does not run; start it with: ingest up")
    with database.write() as session:
        job_id = store.add_job(session, "adopt", [unique_id], unique_id, PRIVATE)
    total = store.Added()
    try:
        for videos in _pages(settings, unique_id):
            with database.write() as session:
                total += store.adopt(session, session.get_one(Job, job_id), videos)
    except (UpstreamError, QuotaUnavailable, SlotLost) as error:
        raise ConfigurationError(
            f"Memories.ai could not be asked for its list: {error}; {total.queued} videos were adopted until then, "
            "the same command goes on"
        ) from error
    return job_id, total


def _pages(settings: Settings, unique_id: str) -> Iterator[list[Video]]:
    """Page after page until an empty one (contract B.3 L1)."""
    quota = Quota(connect(broker.redis_url(settings)), settings.limits)
    upstream = Upstream(settings.api_url, settings.account.key, silence=settings.timings.http)
    page, seen = 1, set[str]()
    while True:
        with quota.line(settings.account, Lane.LIST) as place:
            listed = upstream.list_videos(unique_id, page, SlotGate(place))
        if not listed:
            upstream.close()
            return
        # Pages shift while uploads run: what moved onto this page was seen on the one before.
        yield [video for video in listed if video.video_no not in seen]
        seen.update(video.video_no for video in listed)
        page += 1
