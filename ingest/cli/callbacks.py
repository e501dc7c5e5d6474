"""``ingest callbacks``: what Memories.ai has called back, and what became of it."""

import json
from collections.abc import Sequence

from ingest import operating, queries
from ingest.adding import service_runs
from ingest.choosing import check_callback_states
from ingest.cli import show
from ingest.cli.saying import fail, number_of, say
from ingest.database import Database
from ingest.settings import Settings
from ingest.tokens import account_url


def list_callbacks(database: Database, states: Sequence[str], limit: int, *, as_json: bool) -> None:
    """The newest first."""
    check_callback_states(states)
    with database.read() as session:
        found = [queries.callback_row(one) for one in queries.callbacks(session, states, limit + 1)]
    if as_json:
        for row in found[:limit]:
            print(json.dumps(row))
        return
    show.callbacks_table(found[:limit])
    if len(found) > limit:
        say("... there are older ones: --limit N")


def replay(
    settings: Settings, database: Database, named: Sequence[int], states: Sequence[str], *, as_json: bool
) -> int:
    """Exit 1 where there was none of that kind."""
    if bool(named) == bool(states):
        fail("Say which callbacks to apply again: by number, or with --state; `ingest callbacks list` lists them")
    number = operating.replay_callbacks(database, named, states)
    print(json.dumps({"replayed": number}) if as_json else f"{number_of(number, 'callback')} to be applied again")
    if not number:
        say(f"No callback is {' or '.join(states)}")
    elif not service_runs(settings, database):
        say("No service runs, so nothing moves; start it with: ingest up")
    return 0 if number else 1


def print_url(settings: Settings) -> None:
    """The address to register with the key."""
    from ingest.upstream.client import CALLBACK_LIMIT

    if not settings.public_url:
        fail("INGEST_PUBLIC_URL is not set; it is the address under which the world reaches the receiver (ingest web)")
    url = account_url(settings.public_url, settings.signing_secret)
    print(url)
    if len(url) > CALLBACK_LIMIT:
        say(
            f"This address has {len(url)} characters, and Memories.ai keeps {CALLBACK_LIMIT}: no callback would arrive. "
            "Shorten INGEST_PUBLIC_URL"
        )
