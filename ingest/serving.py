"""How a Flask door is served: granian, one process, many threads."""

import os
import sys

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server
from setproctitle import setproctitle

from ingest.processes import as_parent, port_problem

_THREADS = 32


def serve(target: str, name: str, host: str, port: int, variable: str, threads: int = _THREADS) -> int:
    """Serve ``package.module:factory`` until SIGTERM; 2 when the port is taken. ``variable`` is what changes the port."""
    if (problem := port_problem(host, port)) is not None:
        print(f"{problem}; choose another with {variable}", file=sys.stderr)
        return 2
    print(f"{name} on http://{host}:{port}", file=sys.stderr)
    setproctitle(name)
    os.environ.update(as_parent())
    Server(
        target,
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=threads,
        backlog=1024,
        log_level=LogLevels.error,
        log_access=False,  # callback tokens are in the addresses
        process_name=name,
        workers_kill_timeout=3,
        respawn_failed_workers=True,
    ).serve()
    return 0
