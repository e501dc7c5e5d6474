"""Creators as both doors speak of them: from a person's words to a plan, and back to rows. What cannot be meant is ``BadRequest``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from ingest import following, listing, queries, schedules
from ingest.choosing import BadRequest, NotThere
from ingest.clock import iso
from ingest.database import Database
from ingest.durations import parse_duration
from ingest.following import FULL_EVERY, LIMIT, LIST, VENDOR, Followed, Plan
from ingest.listing import FEWEST_TO_STOP, STOP_AFTER
from ingest.models import DEFAULT_NAMESPACE, Creator, Run
from ingest.sources import profiles
from ingest.sources.profiles import Profile
from ingest.statuses import Status

#: Posts of one look.
MOST_POSTS = 1000
#: Runs that ``show`` looks ahead.
_AHEAD = 5


@dataclass(frozen=True, slots=True)
class Words:
    """How a person says that a profile is followed; empty where nothing was said."""

    url: str
    every: str = ""
    cron: str = ""
    zone: str = ""
    quiet: str = ""
    jitter: str = ""
    unique_id: str = DEFAULT_NAMESPACE
    public: bool = False
    limit: int = LIMIT
    by_list: bool = False
    stop_after: int = STOP_AFTER
    full_every: int = FULL_EVERY
    not_before: str = ""
    refresh: str = ""


def follow(database: Database, words: Words) -> Creator:
    """Follow what the words name; its first look is due at once."""
    profile, plan = _profile(words), _plan(words)
    _check_together(profile, words)
    with database.write() as session:
        try:
            return following.follow(session, profile, plan)
        except Followed as error:
            raise BadRequest(f"{profile.url} is followed already: it is creator {error.creator}") from None


def _profile(words: Words) -> Profile:
    profile = profiles.recognise(words.url)
    if profile is None:
        raise BadRequest(profiles.problem_of(words.url) or f"'{words.url}' is nothing that can be followed")
    return profile


def _plan(words: Words) -> Plan:
    try:
        schedule = schedules.parse_schedule(
            every=words.every, cron=words.cron, zone=words.zone or "UTC", quiet=words.quiet, jitter=words.jitter
        )
        not_before, refresh = _seconds(words.not_before), _seconds(words.refresh)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    if not 1 <= words.limit <= MOST_POSTS:
        raise BadRequest(f"{words.limit} posts a look; it takes 1 to {MOST_POSTS}")
    if words.stop_after < FEWEST_TO_STOP or words.full_every < 1:
        raise BadRequest(
            f"--stop-after is at least {FEWEST_TO_STOP}, since up to three posts are pinned; --full-every is at least 1"
        )
    return Plan(
        schedule,
        words.unique_id,
        words.public,
        LIST if words.by_list else VENDOR,
        words.limit,
        stop_after=words.stop_after,
        full_every=words.full_every,
        not_before=not_before,
        refresh=refresh,
    )


def _seconds(text: str) -> int:
    return round(parse_duration(text)) if text else 0


def _check_together(profile: Profile, words: Words) -> None:
    if words.by_list:
        if problem := listing.problem_with(profile):
            raise BadRequest(problem)
    elif profile.kind == "playlist":
        raise BadRequest("Memories.ai scrapes profiles and channels, no playlists; follow it with --list")
    if not words.by_list and words.not_before:
        raise BadRequest("--not-before needs --list: Memories.ai takes the newest posts as they are")
    if words.refresh and not words.public:
        raise BadRequest("--refresh needs --public: Memories.ai tells the numbers of public videos alone")
    if words.refresh and _seconds(words.refresh) < 60:
        raise BadRequest("--refresh: numbers are asked for once a minute at most")


# What is there


def get(session: Session, creator_id: int) -> Creator:
    found = queries.creator(session, creator_id)
    if found is None:
        raise NotThere(f"There is no creator {creator_id}; `ingest creators list` lists them")
    return found


def state_of(one: Creator) -> str:
    if one.next_run_at is None:
        return "removed"
    if one.paused_at is not None:
        return "paused"
    return "running" if one.running_id is not None else "waiting"


def creator_row(one: Creator) -> dict[str, Any]:
    return {
        "creator": one.id,
        "url": one.url,
        "platform": one.platform,
        "kind": one.kind,
        "handle": one.handle,
        "job": one.job_id,
        "unique_id": one.unique_id,
        "library": one.library,
        "mode": one.mode,
        "limit": one.scrape_limit,
        "schedule": schedules.say(following.schedule_of(one)),
        "state": state_of(one),
        "next_run_at": iso(one.next_run_at),
        "runs": one.runs,
        "failures": one.failures,
        "trouble": one.trouble,
        "pause_reason": one.pause_reason,
        "refresh_seconds": one.refresh_seconds,
        "created_at": iso(one.created_at),
    }


def run_row(session: Session, one: Run) -> dict[str, Any]:
    """A report. ``failed``: of its new posts those that have failed since, as things stand."""
    items = queries.new_items_of_run(session, one.id or 0)
    # What a list found is scraped after the look: its calls are counted as they come.
    calls = max(one.calls, queries.calls_of_items(session, [number for number, _ in items])) if items else one.calls
    return {
        "run": one.id,
        "creator": one.creator_id,
        "due_at": iso(one.due_at),
        "started_at": iso(one.started_at),
        "ended_at": iso(one.ended_at),
        "state": one.state,
        "how": one.how,
        "item": one.item_id,
        "seen": one.seen,
        "new": one.new,
        "known": one.known,
        "gone": one.gone,
        "changed": one.changed,
        "failed": sum(status == Status.FAIL for _, status in items),
        "calls": calls,
        "complete": one.complete,
        "error": one.error,
    }


def story(session: Session, creator_id: int, history: int = 20) -> dict[str, Any]:
    """A creator with its next runs, its last report, and those before."""
    one = get(session, creator_id)
    reports = [run_row(session, run) for run in queries.runs(session, creator_id, history)]
    return creator_row(one) | {
        "next_runs": [iso(at) for at in next_runs(one)],
        "posts": queries.number_of_posts(session, creator_id),
        "last": reports[0] if reports else None,
        "history": reports,
    }


def next_runs(one: Creator) -> list[int]:
    if one.next_run_at is None or one.paused_at is not None:
        return []
    later = schedules.following(following.schedule_of(one), one.next_run_at, one.created_at, _AHEAD - 1, seed=one.id)
    return [one.next_run_at, *later]


# What may be done

_NOT_NOW: Mapping[str, str] = {
    "removed": "it is not followed any more; follow it again with: ingest creators add URL",
    "paused": "it is paused; first: ingest creators resume {creator}",
    "waiting": "it is not paused",
    "running": "it is not paused",
}


def act(database: Database, creator_id: int, what: str, reason: str = "") -> dict[str, Any]:
    """``run``, ``pause``, ``resume`` or ``remove``; the creator's row afterwards. BadRequest where that is not possible now."""
    with database.write() as session:
        state = state_of(get(session, creator_id))
        done = {
            "run": lambda: following.run_now(session, creator_id),
            "pause": lambda: following.pause(session, creator_id, reason or "paused by an operator"),
            "resume": lambda: following.resume(session, creator_id),
            "remove": lambda: following.unfollow(session, creator_id),
        }[what]()
        if not done:
            why = "it is paused already" if (what, state) == ("pause", "paused") else _NOT_NOW[state]
            raise BadRequest(f"Creator {creator_id}: " + why.format(creator=creator_id))
        session.expire_all()
        return creator_row(get(session, creator_id))
