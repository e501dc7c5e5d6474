"""The command ``ingest``. Results on stdout, everything else on stderr; exit 0 done, 1 some items failed, 2 usage or configuration."""

import os
import sys


def main() -> None:
    from ingest.cli.app import app
    from ingest.quota import QuotaUnavailable
    from ingest.settings import ConfigurationError
    from ingest.sources.found import SourceError
    from ingest.sources.options import BadOptions

    try:
        app(prog_name="ingest")
    except (ConfigurationError, SourceError, BadOptions, QuotaUnavailable) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe went away (`| head`): nothing is wrong. Keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
