"""The metrics of the package, as an OpenTelemetry meter provider collects them."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import json
from assay.audit import AuditProvider, AuditRecord, BatchProcessor
from assay.audit import ExportError, RecordError, RejectedError
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

reader = InMemoryMetricReader()

def totals():
    return {
        metric.name: metric.data.data_points[0].value
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name.startswith("audit.records.") or metric.name == "audit.queue.depth"
    }

class Exporter:
    error = None
    def export(self, request):
        if self.error:
            raise self.error
        return []
    def shutdown(self): pass

exporter = Exporter()
logger = AuditProvider(BatchProcessor(exporter, delay=0.001)).get_logger("tests")
LOGIN = AuditRecord(event_name="user.login", action="LOGIN", outcome="success")
metrics.set_meter_provider(MeterProvider([reader]))  # later than the package's import, and its logger
result = [totals()]
logger.emit(LOGIN)
logger.emit_async(LOGIN).result(10)
exporter.error = RejectedError("no", is_final=True)
for emit in (logger.emit, lambda record: logger.emit_async(record).result(10)):
    try:
        emit(LOGIN)
    except ExportError:
        pass
try:
    logger.emit_async(AuditRecord(event_name="user.login", action="", outcome="success"))
except RecordError:
    pass
result.append(totals())
print(json.dumps(result))
"""


def test_counters_exist_with_0_and_count_each_record_once():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        {
            "audit.records.emitted": 0,
            "audit.records.exported": 0,
            "audit.records.dropped": 0,
            "audit.queue.depth": 0,
        },
        {
            "audit.records.emitted": 5,
            "audit.records.exported": 2,
            "audit.records.dropped": 3,
            "audit.queue.depth": 0,
        },
    ]
