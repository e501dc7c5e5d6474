"""``python -m console``: what ``ingest console`` becomes."""

import sys

from ingest import store
from ingest.database import open_database
from ingest.home import NoHome
from ingest.serving import serve
from ingest.settings import ConfigurationError, load

#: Most of them wait for changes.
_THREADS = 320


def main() -> int:
    try:
        settings = load()
        database = open_database(settings.database)
        with database.write() as session:
            store.rebase_events(session)
            token = store.first_token(session)
        database.dispose()
    except (ConfigurationError, NoHome) as error:
        print(error, file=sys.stderr)
        return 2
    if token:
        print(f"open it with this link, shown this once: {settings.console_url}/?token={token}", file=sys.stderr)
    host, port = settings.console_host, settings.console_port
    return serve("console.app:from_environment", "ingest console", host, port, "INGEST_CONSOLE_PORT", threads=_THREADS)


if __name__ == "__main__":
    sys.exit(main())
