"""Adjusts the logging handler of opentelemetry-instrumentation-logging, which is on the root logger."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Mapping
from typing import Any, cast

from assay.distro._json_logs import extra_fields, message_of, to_text

_MODULE = "opentelemetry.instrumentation.logging.handler"
_MARK = "_assay_is_adjusted"
_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})


def adjust() -> None:
    """Adjust the handler if it is there; a second call has no effect.

    - It prints what only it handles, as Python does without any handler: with it on the root logger, Python
      would not print the warnings of a program that does not configure `logging`.
    - A message or an extra field that it cannot convert becomes text. The handler raises in the
      application's call otherwise.
    - An extra field that holds an object becomes text, or is left out if its class defines no text. The SDK
      does the same and prints a warning for each; kopf, for one, adds objects to its lines.
    """
    for handler in logging.getLogger().handlers:
        if type(handler).__module__ == _MODULE and not hasattr(handler, _MARK):
            setattr(handler, _MARK, True)
            handler.addFilter(_LastResort(handler))
            handler.emit = _Guarded(handler)


class _LastResort(logging.Filter):
    """Prints a record that no other handler handles.

    Args:
        own: The OpenTelemetry handler.
    """

    def __init__(self, own: logging.Handler) -> None:
        super().__init__()
        self._own = own

    def filter(self, record: logging.LogRecord) -> bool:
        last = logging.lastResort
        if last is not None and record.levelno >= last.level and not self._has_other_handler(record.name):
            last.handle(record)
        return True

    def _has_other_handler(self, name: str) -> bool:
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None:
            if any(handler is not self._own for handler in logger.handlers):
                return True
            logger = logger.parent if logger.propagate else None
        return False


def _with_data(record: logging.LogRecord) -> logging.LogRecord:
    """Return the record, or a copy in which no extra field holds an object."""
    fields = extra_fields(record)
    if all(value.__class__ in _PLAIN for value in fields.values()):
        return record
    changed = copy.copy(record)
    for key, value in fields.items():
        vars(changed)[key] = _data(value)
    return changed


def _data(value: Any) -> Any:  # noqa: ANN401 - any value, as far as OpenTelemetry's AnyValue has it
    if value.__class__ in _PLAIN:
        return value
    if isinstance(value, Mapping):
        members = cast("Mapping[object, object]", value)
        return {key if isinstance(key, str) else to_text(key): _data(each) for key, each in members.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_data(each) for each in cast("Iterable[object]", value)]
    kind = cast("type[Any]", type(value))
    has_text = kind.__str__ is not object.__str__ or kind.__repr__ is not object.__repr__
    return to_text(value) if has_text else None


class _Guarded:
    """Emits a record; if that fails, emits it with its message and extra fields as text.

    Args:
        handler: The OpenTelemetry handler.
    """

    def __init__(self, handler: logging.Handler) -> None:
        self._handler = handler
        self._emit = handler.emit

    def __call__(self, record: logging.LogRecord) -> None:
        try:
            self._emit(_with_data(record))
        except Exception:  # noqa: BLE001 - whatever a value's own methods raise
            simple = copy.copy(record)
            simple.msg, simple.args = message_of(record), None
            vars(simple).update({key: to_text(value) for key, value in extra_fields(record).items()})
            try:
                self._emit(simple)
            except Exception:  # noqa: BLE001 - logging reports it, and the application continues
                self._handler.handleError(record)
