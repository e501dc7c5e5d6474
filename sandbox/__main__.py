"""`python -m sandbox`: one line on stdout once connections are accepted, then silence until told to stop."""

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from sandbox.app import create_app
from sandbox.options import Options, parse_options
from sandbox.server import Server, listen
from sandbox.vendor import Vendor

#: Seconds a thread may hold the interpreter while another waits: an arrival must be stamped at once.
SWITCH_INTERVAL = 0.0005


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_options(sys.argv[1:] if arguments is None else arguments)
    sys.setswitchinterval(SWITCH_INTERVAL)
    _name_process()
    vendor = Vendor(options)
    try:
        listening = listen(options.host, options.port)
    except OSError as error:
        print(f"sandbox: {_unusable(options, error)}", file=sys.stderr)
        return 2
    server = Server(create_app(vendor), listening)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    vendor.agenda.start()
    host = f"[{options.host}]" if ":" in options.host else options.host
    with contextlib.suppress(KeyboardInterrupt):
        print(f"sandbox listening on http://{host}:{server.port}", flush=True)
        server.serve_forever()
    return 0


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _unusable(options: Options, error: OSError) -> str:
    address = f"{options.host}:{options.port}"
    return f"cannot listen on {address} ({error.strerror or error}); choose another with --port or --host."


def _name_process() -> None:
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle("ingest sandbox")


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # requests and callbacks under way are cut: their threads are nobody's to wait for
