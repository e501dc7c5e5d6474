"""Tell a deaf worker from an idle one: a message goes through each queue, and heartbeats say who took it (``worker.took_at``)."""

from workers.context import Context

#: Messages that nobody takes: one more tells nothing.
_ENOUGH = 50


def run(context: Context) -> None:
    """The tick that runs this went through the settle queue already; this is the other one."""
    if context.waiting_turns() < _ENOUGH:
        context.nudger.canary()
