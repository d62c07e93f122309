"""The telemetry of a worker: events for a backend, and the correlation id."""

import time
from contextlib import contextmanager
from contextvars import ContextVar

_backend = None
_correlation_id = ContextVar("correlation_id", default=None)


def set_backend(backend):
    global _backend
    _backend = backend


def get_backend():
    return _backend


def set_correlation_id(value):
    return _correlation_id.set(value)


def get_correlation_id(default=None):
    return _correlation_id.get() or default


def emit(event, measurements, metadata=None, correlation_id=None):
    if get_backend():
        get_backend().emit(event, measurements, metadata, correlation_id)


@contextmanager
def span(operation, metadata=None, correlation_id=None):
    start = time.time_ns()
    emit(f"{operation}.start", {"system_time": start}, metadata, correlation_id)
    try:
        yield
        emit(f"{operation}.stop", {"duration": time.time_ns() - start}, metadata, correlation_id)
    except Exception as error:
        failed = {**(metadata or {}), "error_type": type(error).__name__, "error_message": str(error)}
        emit(f"{operation}.exception", {"duration": time.time_ns() - start}, failed, correlation_id)
        raise
