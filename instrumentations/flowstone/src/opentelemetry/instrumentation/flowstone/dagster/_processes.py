"""Steps in child processes.

Their spans join the run's trace. Their measurements are recorded in the process of the run.

The command that Dagster pickles for the child is wrapped. In the child it sets up telemetry and sends the
child's measurements over Dagster's own queue, between Dagster's events; in the parent they are taken out
before Dagster sees them. So each series has one writer, and counts each thing once. Spans, log events and
audit records leave from the child itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from dagster._core.executor.child_process_executor import ChildProcessCommand, ChildProcessCrashException

from assay.instrumentation import (
    Call,
    ChildSetup,
    Foreign,
    LibraryInstrumentor,
    RelayBatch,
    RelayReceiver,
    RelaySender,
    prepare_child,
)


class RelayedCommand(ChildProcessCommand):
    """Dagster's command for a child process, with telemetry around it.

    Args:
        setup: Sets up the child.
        command: Dagster's.
    """

    def __init__(self, setup: ChildSetup, command: Foreign) -> None:
        self._setup = setup
        self._command = command

    def execute(self) -> Iterator[Any]:
        """Execute Dagster's command in the child; yield its events, and batches of measurements."""
        self._setup.apply(metrics=False)
        sender = RelaySender()
        sender.start()
        try:
            for event in self._command.execute():
                # Before the event: after a step that is tried again Dagster reads no more from this process.
                yield from sender.drain()
                yield event
        except GeneratorExit:
            raise
        except BaseException:
            yield from sender.drain()
            raise
        yield from sender.drain()


def execute_child(
    call: Call,
    instrumentor: LibraryInstrumentor,
    receiver: RelayReceiver,
    died: Callable[[str, str, int], object],
) -> Foreign:
    """Wrap `execute_child_process_command(multiprocessing_ctx, command)`, in the parent.

    Args:
        call: The call.
        instrumentor: Instruments the child.
        receiver: Records the child's measurements.
        died: Called with the run's id, the step's key and the exit code of a child that died.
    """
    command = call.argument("command")
    setup = prepare_child(instrumentor, correlation_id=command.dagster_run.run_id)
    call.replace("command", RelayedCommand(setup, command))
    return _record_relayed(call(), receiver, partial(died, command.dagster_run.run_id, command.step_key))


def _record_relayed(events: Foreign, receiver: RelayReceiver, died: Callable[[int], object]) -> Iterator[Any]:
    try:
        for event in events:
            if isinstance(event, RelayBatch):
                receiver.record(event)
                # To Dagster, None means that nothing has happened.
                yield None
            else:
                yield event
    except ChildProcessCrashException as crash:
        if crash.exit_code is not None:
            died(crash.exit_code)
        raise
    finally:
        events.close()
