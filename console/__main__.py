"""``python -m console``: what ``ingest console`` becomes."""

import sys

from ingest.database import open_database
from ingest.home import NoHome, kept_token
from ingest.serving import serve
from ingest.settings import ConfigurationError, load


def main() -> int:
    try:
        settings = load()
        open_database(settings.database).dispose()
    except (ConfigurationError, NoHome) as error:
        print(error, file=sys.stderr)
        return 2
    kept_token(settings.home)
    host, port = settings.console_host, settings.console_port
    return serve("console.app:from_environment", "ingest console", host, port, "INGEST_CONSOLE_PORT")


if __name__ == "__main__":
    sys.exit(main())
