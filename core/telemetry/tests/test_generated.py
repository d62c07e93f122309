"""The generated handlers, one of each kind, as a reader sees them in `golden/`.

After a change of a generator, `ASSAY_UPDATE_GOLDEN=1 pytest core/telemetry/tests/test_generated.py` writes
the files anew: read the difference.
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import pytest
from opentelemetry._logs import Logger

from assay.telemetry import execute, list_handlers, span
from assay.telemetry.bridge import record

GOLDEN = Path(__file__).with_name("golden")


@pytest.mark.skipif(not hasattr(Logger, "enabled"), reason="handlers differ before OpenTelemetry 1.45")
@pytest.mark.parametrize(
    ("kind", "event"),
    [
        ("event", "f.health"),
        ("audited_event", "f.approved"),
        ("span_start", "f.make.start"),
        ("span_stop", "f.make.stop"),
        ("span_exception", "f.make.exception"),
    ],
)
def test_a_handler(otel, kind, event):
    with pytest.raises(LookupError), span("f.make", asset="x"):
        raise LookupError
    with span("f.make", asset="x"):
        execute("f.health", None, {"asset": "x", "healthy": True})
        execute("f.approved", None, {"asset": "x"})
    [handler] = [one.handler for one in list_handlers(event)]
    assert_golden(kind, inspect.getsource(handler))


def test_a_recorder(otel):
    record("f.make.stop", {"duration": 1}, {"asset": "x"})
    assert_golden("recorder", inspect.getsource(otel.bridge._recorders["f.make.stop"]))


def test_a_relayed_event(otel):
    otel.bridge.relay_recordings(lambda *_: None)
    execute("f.health", None, {"asset": "x", "healthy": True})
    [handler] = [one.handler for one in list_handlers("f.health")]
    assert_golden("relayed_event", inspect.getsource(handler))


def assert_golden(kind, source):
    file = GOLDEN / f"{kind}.txt"
    if os.environ.get("ASSAY_UPDATE_GOLDEN"):
        file.write_text(source)
    assert source == file.read_text(), f"{file} shows another handler; see the head of this module"
