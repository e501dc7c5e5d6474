"""The command ``ingest``. Results on stdout, everything else on stderr; exit 0 done, 1 some items failed, 2 usage or configuration."""

import os
import sys


def main() -> None:
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe went away (`| head`): nothing is wrong. Keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _run() -> None:
    from sqlalchemy.exc import DatabaseError

    from ingest.cli.app import app
    from ingest.home import NoHome
    from ingest.settings import ConfigurationError
    from ingest.sources.found import SourceError
    from ingest.sources.options import BadOptions

    try:
        app(prog_name="ingest")
        sys.stdout.flush()
    except (ConfigurationError, NoHome, SourceError, BadOptions) as error:
        _fail(str(error))
    except BrokenPipeError:
        raise
    except DatabaseError as error:
        _fail(f"The database does not work: {str(error.orig).strip()}")
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _fail(f"The system refuses: {error.strerror or error}{where}")


def _fail(sentence: str) -> None:
    print(sentence, file=sys.stderr)
    # What could not be written to stdout (a full disk) is not tried again at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(2)
