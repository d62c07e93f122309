"""Functions that the tests submit to pools; children import this module."""

import os
import signal
import time

from assay.telemetry import execute


def double(number):
    return number * 2


def fail(message):
    raise ValueError(message)


def predict(model, text):
    raise LookupError(f"no {model}")


def kill_worker():
    os.kill(os.getpid(), signal.SIGKILL)


def exit_worker(code):
    os._exit(code)


def count_worker(worker_id, seconds=0.0):
    """Emit an event that an instrument counts, in the child."""
    execute(
        "snakepit.worker.recycled", None, {"pool_name": "inner", "worker_id": worker_id, "reason": "test"}
    )
    time.sleep(seconds)
    return os.getpid()


def make_unpicklable():
    return lambda: None


def process_id(_number=0):
    return os.getpid()


def sleep(seconds):
    time.sleep(seconds)
    return seconds


def count_and_fail_to_return(worker_id):
    count_worker(worker_id)
    return lambda: None


class OddError(Exception):
    """An exception with arguments of its own, and attributes."""

    def __init__(self, text):
        super().__init__(text, len(text))
        self.text = text

    def __reduce__(self):
        return OddError, (self.text,)


ERRORS = {
    error.__name__: error
    for error in (KeyError, MemoryError, OSError, SystemExit, StopIteration, KeyboardInterrupt)
}


def echo(value):
    return value


def raise_named(name):
    raise ERRORS[name](name)


def raise_odd(text):
    raise OddError(text)


def raise_from(text):
    try:
        int("x")
    except ValueError as error:
        raise LookupError(text) from error


def add(one, other):
    return one + other


MEETINGS = []


def prepare_to_meet(meeting):
    """Initialize a worker that ignores SIGTERM, by which an executor stops its workers."""
    MEETINGS.append(meeting)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def meet():
    """Wait until each worker runs this; return the process id."""
    MEETINGS[-1].wait(60)
    return os.getpid()
