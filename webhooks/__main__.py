"""``python -m webhooks``: what ``ingest web`` becomes. One process: callbacks share commits best in one place."""

import sys

from ingest.database import open_database
from ingest.home import NoHome
from ingest.serving import serve
from ingest.settings import ConfigurationError, read
from webhooks.settings import ReceiverSettings


def main() -> int:
    try:
        settings = read(ReceiverSettings)
        settings.signing_secret  # noqa: B018  (required, or made now, before the first request)
        open_database(settings.database).dispose()
    except (ConfigurationError, NoHome) as error:
        print(error, file=sys.stderr)
        return 2
    return serve("webhooks.app:from_environment", "ingest web", settings.address, settings.port, "INGEST_PORT")


if __name__ == "__main__":
    sys.exit(main())
