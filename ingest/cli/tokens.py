"""``ingest tokens``: who may use the console."""

import json
from typing import Any

from ingest import access, queries, store
from ingest.access import Role
from ingest.cli import show
from ingest.cli.saying import fail, say
from ingest.clock import iso
from ingest.database import Database
from ingest.models import Token
from ingest.settings import Settings


def add(settings: Settings, database: Database, name: str, role: Role, *, as_json: bool) -> None:
    """Make a token and show it, this once."""
    try:
        access.check_name(name)
    except ValueError as error:
        fail(str(error))
    with database.write() as session:
        token = store.add_token(session, name, role)
    if token is None:
        fail(f"A token named '{name}' is in use; revoke it first (ingest tokens revoke {name}), or choose another name")
    if as_json:
        print(json.dumps({"name": name, "role": role, "token": token}))
        return
    print(token)
    say(f"Shown this once; it may {role}. In a browser: {settings.console_url}/?token=...")


def list_tokens(database: Database, *, as_json: bool) -> None:
    with database.read() as session:
        rows = [_row(one) for one in queries.tokens(session)]
    if as_json:
        for row in rows:
            print(json.dumps(row))
    else:
        show.tokens_table(rows)


def revoke(database: Database, name: str, *, as_json: bool) -> None:
    with database.write() as session:
        done = store.revoke_token(session, name)
    if not done:
        fail(f"No token named '{name}' is in use; `ingest tokens list` lists them")
    print(json.dumps({"name": name, "revoked": True}) if as_json else f"token {name} is revoked")


def _row(one: Token) -> dict[str, Any]:
    names = ("created_at", "used_at", "revoked_at")
    return {"name": one.name, "role": one.role} | {name: iso(getattr(one, name)) for name in names}
