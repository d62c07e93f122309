"""Real programs under `opentelemetry-instrument` that send to a real receiver."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from contextlib import closing

import pytest

pytestmark = pytest.mark.slow

BUSY = """
import logging
from assay.telemetry import execute, span
from opentelemetry import trace

with span("flowstone.materialization", asset="orders", partition="2024-01-01", run_id="r1"):
    logging.getLogger("shop").warning("stored", extra={"queue_id": "q1"})
execute("flowstone.checkpoint.approved", {"approval_time": 10**9},
        {"approval_id": "a1", "checkpoint": "c", "status": "approved", "actor": "alice", "reason": "fine"})
"""

SECRETS = """
import logging
from opentelemetry import trace

log = logging.getLogger("shop")
log.warning("password=hunter2", extra={"api_key": "hunter2", "url": "https://me:hunter2@example.org/"})
tracer = trace.get_tracer("shop")
try:
    with tracer.start_as_current_span("GET https://me:hunter2@example.org/") as one:
        one.set_attribute("password", "hunter2")
        one.add_event("tried", {"secret": "hunter2"})
        raise ValueError("postgresql://me:hunter2@db/orders")
except ValueError:
    log.exception("failed with password=hunter2")
"""


HEADERS = """
from opentelemetry import baggage, propagate
headers = {}
propagate.inject(headers, baggage.set_baggage("token", "hunter2", baggage.set_baggage("tenant", "acme")))
print(headers)
"""


def json_lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_no_secret_leaves_in_the_baggage_of_a_request(instrumented):
    done = instrumented(HEADERS)
    assert done.returncode == 0, done.stderr
    assert "tenant=acme" in done.stdout
    assert "hunter2" not in done.stdout


def test_all_signals_arrive_without_settings(instrumented, receiver):
    done = instrumented(BUSY, name="shop.py")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "stored\n"  # as without us: Python prints a warning that no handler handles
    (span,) = receiver.spans()
    assert span.name == "flowstone.materialization"
    names = {record.event_name for record in receiver.logs()}
    assert {"flowstone.materialization.start", "flowstone.materialization.stop"} <= names
    (stored,) = [record for record in receiver.logs() if record.body.string_value == "stored"]
    assert stored.trace_id == span.trace_id
    assert "flowstone.materialization.start.count" in {metric.name for metric in receiver.metrics()}
    (audit,) = receiver.logs("/v1/audit")
    attributes = {pair.key: pair.value.string_value for pair in audit.attributes}
    assert attributes["audit.actor.id"] == "alice"
    assert attributes["audit.action"] == "APPROVE"


MANY = """
import logging
from assay.telemetry import span

for number in range(500):  # 1500 log records: fewer than the queue of 2048 holds
    with span("flowstone.materialization", asset="orders", run_id="r"):
        logging.getLogger("shop").error("order %d", number)
"""


@pytest.mark.parametrize("compression", ["", "gzip", "none"])
def test_all_signals_arrive_over_grpc(instrumented, receiver, grpc_receiver, compression):
    env = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_ENDPOINT": grpc_receiver.url,
        "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
    }
    done = instrumented(MANY, env=env)
    assert done.returncode == 0, done.stderr
    assert "OTEL_" not in done.stderr
    assert receiver.requests == []
    assert len({span.span_id for span in grpc_receiver.spans()}) == len(grpc_receiver.spans()) == 500
    names = Counter(record.event_name for record in grpc_receiver.logs())
    assert names == {"flowstone.materialization.start": 500, "flowstone.materialization.stop": 500, "": 500}
    bodies = {record.body.string_value for record in grpc_receiver.logs() if not record.event_name}
    assert bodies == {f"order {number}" for number in range(500)}
    newest = {metric.name: metric for metric in grpc_receiver.metrics()}
    (point,) = newest["flowstone.materialization.start.count"].sum.data_points
    assert point.as_int == 500
    (point,) = newest["flowstone.materialization.duration"].histogram.data_points
    assert point.count == 500


def test_grpc_accepts_a_host_and_a_port(instrumented, grpc_receiver):
    env = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"127.0.0.1:{grpc_receiver.port}",
        "OTEL_EXPORTER_OTLP_INSECURE": "true",
    }
    done = instrumented(BUSY, env=env)
    assert done.stderr == "stored\n"
    assert len(grpc_receiver.spans()) == 1


def test_one_signal_may_use_grpc_and_the_others_http(instrumented, receiver, grpc_receiver):
    env = {
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": grpc_receiver.url,
    }
    done = instrumented(BUSY, env=env)
    assert done.stderr == "stored\n"
    assert [path for path, _ in grpc_receiver.requests] == ["/v1/traces"]
    assert len(grpc_receiver.spans()) == 1
    assert receiver.spans() == []
    assert receiver.logs()
    assert receiver.metrics()


def test_an_absent_collector_is_one_warning_over_grpc(instrumented, free_port):
    nowhere = f"http://127.0.0.1:{free_port}"
    env = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_ENDPOINT": nowhere,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "ASSAY_EXIT_TIMEOUT": "1",
    }
    done = instrumented("import logging\n" + MANY.replace("error", "debug") + "print('done')", env=env)
    assert done.stdout == "done\n"
    (warning,) = done.stderr.splitlines()
    assert f"the Collector at {nowhere} does not accept telemetry (Connection refused)" in warning


def test_sums_are_cumulative(instrumented, receiver):
    instrumented(BUSY)
    sums = [metric.sum for metric in receiver.metrics() if metric.HasField("sum")]
    assert sums
    assert {one.aggregation_temporality for one in sums} == {2}  # AGGREGATION_TEMPORALITY_CUMULATIVE


def test_the_resource_has_names_and_places_and_no_arguments(instrumented, receiver):
    instrumented(BUSY, name="shop.py", env={"KUBERNETES_SERVICE_HOST": "10.0.0.1", "POD_NAME": "shop-1"})
    (resource,) = receiver.resources()
    assert resource["service.name"] == "shop"
    assert resource["k8s.pod.name"] == "shop-1"
    assert len(resource["service.instance.id"]) == 36
    assert resource["host.name"] == socket.gethostname()
    assert {"process.pid", "os.type", "process.runtime.name"} <= resource.keys()
    assert not {"process.command_args", "process.command_line"} & resource.keys()


def test_a_configured_service_name_has_precedence(instrumented, receiver):
    instrumented(
        BUSY, env={"OTEL_SERVICE_NAME": "orders", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=x"}
    )
    assert receiver.resources()[0]["service.name"] == "orders"
    assert receiver.resources()[0]["deployment.environment"] == "x"


def test_no_secret_leaves_the_process(instrumented, receiver):
    done = instrumented(SECRETS, env={"ASSAY_LOGS": "json"})
    assert receiver.spans()
    assert receiver.logs()
    assert not any(b"hunter2" in body for body in receiver.raw)
    assert "hunter2" not in done.stdout + done.stderr
    (event,) = [event for event in receiver.spans()[0].events if event.name == "exception"]
    assert "ValueError" in str(event)


def test_configured_keys_are_redacted(instrumented, receiver):
    program = "import logging; logging.warning('x', extra={'iban': 'DE0012345'})"
    instrumented(program, env={"ASSAY_REDACT_KEYS": "iban"})
    assert receiver.logs()
    assert not any(b"DE0012345" in body for body in receiver.raw)


def test_json_logs_have_the_seeds_fields(instrumented, receiver):
    done = instrumented(BUSY, env={"ASSAY_LOGS": "json"})
    lines = json_lines(done.stderr)
    assert len(lines) == len({json.dumps(line, sort_keys=True) for line in lines})
    start, stored, complete = lines[:3]
    (span,) = receiver.spans()
    assert {key: start[key] for key in ("level", "flowstone", "event", "asset", "partition", "run_id")} == {
        "level": "info",
        "flowstone": True,
        "event": "materialization_start",
        "asset": "orders",
        "partition": "2024-01-01",
        "run_id": "r1",
    }
    assert complete["event"] == "materialization_complete"
    assert complete["duration_ms"] > 0
    assert stored["message"] == "stored"
    assert stored["queue_id"] == "q1"
    assert stored["timestamp"].endswith("Z")
    for line in (start, stored, complete):
        assert line["trace_id"] == span.trace_id.hex()
        assert line["span_id"] == span.span_id.hex()
    assert len({line["correlation_id"] for line in (start, stored, complete)}) == 1


def test_json_applies_to_every_handler_that_the_app_configures(instrumented):
    program = """
import logging
logging.basicConfig(level=logging.INFO, format="%(message)s")
logging.info("once")
own = logging.getLogger("own")
own.propagate = False
own.addHandler(logging.StreamHandler())
own.error("twice", exc_info=ValueError("bad"))
"""
    first, second = json_lines(instrumented(program, env={"ASSAY_LOGS": "json"}).stderr)
    assert (first["level"], first["message"], first["logger"]) == ("info", "once", "root")
    assert (second["error_type"], second["error_message"]) == ("ValueError", "bad")


def test_json_lines_have_stacks_and_no_secrets(instrumented):
    program = """
import dataclasses, logging, logging.handlers, queue
@dataclasses.dataclass
class User:
    name: str
    password: str
logging.basicConfig()
secret = "hunter" + "2"
logging.error("here", stack_info=True, extra={"user": User("bea", secret)})
far = {"msg": "far", "levelno": 40, "levelname": "ERROR", "exc_text": "Traceback: password=" + secret}
record = logging.makeLogRecord(far)
logging.getLogger().handle(record)
"""
    done = instrumented(program, env={"ASSAY_LOGS": "json"})
    lines = {line["message"]: line for line in json_lines(done.stderr)}
    here, far = lines["here"], lines["far"]
    assert "logging.error(" in here["stack_info"]
    assert "bea" in here["user"]
    assert far["stacktrace"].startswith("Traceback: password=")
    assert "hunter2" not in done.stderr


def test_objects_in_extra_fields_become_text_without_a_warning(instrumented, receiver):
    program = """
import logging, pathlib
class Settings:
    pass
extra = {"settings": Settings(), "file": pathlib.PurePosixPath("/a")}
extra["object"] = {"uid": 7, 1: Settings(), "at": {2}}
logging.basicConfig(format="%(message)s")
logging.error("synced", extra=extra)
"""
    assert instrumented(program).stderr == "synced\n"
    (record,) = receiver.logs()
    fields = {each.key: each.value for each in record.attributes}
    assert fields["file"].string_value == "/a"
    assert not fields["settings"].WhichOneof("value")
    members = {each.key: each.value for each in fields["object"].kvlist_value.values}
    assert members["uid"].int_value == 7
    assert members["at"].array_value.values[0].int_value == 2
    assert not members["1"].WhichOneof("value")


def test_text_logs_keep_the_apps_format(instrumented):
    program = "import logging; logging.basicConfig(format='%(levelname)s|%(message)s'); logging.error('x')"
    assert instrumented(program).stderr == "ERROR|x\n"


def test_a_closed_stderr_does_not_stop_the_app(instrumented):
    program = "import os\nos.close(2)\n" + BUSY + "print('done')"
    done = instrumented(program, env={"ASSAY_LOGS": "json"})
    assert done.stdout == "done\n"


def test_series_are_also_served_locally(instrumented, receiver, free_port):
    program = (
        BUSY
        + "import urllib.request\n"
        + (f"print(urllib.request.urlopen('http://127.0.0.1:{free_port}/metrics').read().decode())")
    )
    env = {"OTEL_METRICS_EXPORTER": "otlp,prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": str(free_port)}
    done = instrumented(program, env=env)
    assert 'flowstone_materialization_start_count_total{asset="orders"} 1.0' in done.stdout
    assert 'flowstone_materialization_duration_milliseconds_count{asset="orders"} 1.0' in done.stdout
    assert 'flowstone_checkpoint_approval_time_seconds_sum{checkpoint="c"} 1.0' in done.stdout
    assert "otel_scope" not in done.stdout
    assert receiver.metrics()


def test_a_port_in_use_is_reported_and_the_app_runs(instrumented, receiver):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        env = {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": port}
        done = instrumented(BUSY + "print('done')", env=env)
    assert done.stdout == "done\n"
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert receiver.spans()


def test_an_absent_collector_is_one_warning(instrumented, free_port):
    nowhere = f"http://127.0.0.1:{free_port}"
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": nowhere,
        "ASSAY_AUDIT_ENDPOINT": f"{nowhere}/v1/audit",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "ASSAY_AUDIT_TIMEOUT": "1",
        "ASSAY_EXIT_TIMEOUT": "1",
    }
    done = instrumented(BUSY + BUSY + "print('done')", env=env)
    assert done.returncode == 0
    assert done.stdout == "done\n"
    reported = [line for line in done.stderr.splitlines() if line != "stored"]
    assert sum("does not accept telemetry (Connection refused)" in line for line in reported) == 1
    assert sum("audit records wait in " in line for line in reported) == 1
    assert len(reported) == 2, done.stderr


def test_a_collector_that_does_not_respond_does_not_delay_the_exit(instrumented):
    with closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        program = "import logging; logging.warning('x')\nimport sys, time, atexit\nprint(time.time())"
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "ASSAY_EXIT_TIMEOUT": "0.5"}
        ended = threading.Event()
        thread = threading.Thread(target=lambda: (instrumented(program, env=env), ended.set()))
        thread.start()
        thread.join(9)  # upstream would wait ten seconds for each signal
        assert ended.is_set()


def test_a_wrong_value_is_reported_and_the_rest_works(instrumented, receiver):
    env = {"ASSAY_LOGS": "xml", "OTEL_TRACES_EXPORTER": "oltp", "OTEL_BSP_MAX_QUEUE_SIZE": "many",
           "ASSAY_SAMPLING": "a..b=0.5", "ASSAY_AUDIT_CERTIFICATE": "x" * 300,
           "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "hots,assay",
           "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "-1", "OTEL_EXPORTER_OTLP_TIMEOUT": ""}  # fmt: skip
    done = instrumented(BUSY, env=env)
    assert done.returncode == 0
    assert "ASSAY_LOGS is 'xml'; allowed: text or json. Using text." in done.stderr
    assert "OTEL_TRACES_EXPORTER is 'oltp'; allowed: one or more of" in done.stderr
    assert "OTEL_BSP_MAX_QUEUE_SIZE is 'many'" in done.stderr
    assert "ASSAY_SAMPLING: a..b=0.5 is not used" in done.stderr
    assert "ASSAY_AUDIT_CERTIFICATE is 'xxx" in done.stderr
    assert "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS is 'hots'; allowed: one or more of assay" in done.stderr
    assert "Traceback" not in done.stderr
    assert receiver.spans()


def test_a_queue_smaller_than_a_batch_still_sends(instrumented, receiver):
    done = instrumented(BUSY, env={"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BLRP_MAX_QUEUE_SIZE": "10"})
    assert done.stderr == "stored\n"
    assert receiver.spans()
    assert receiver.logs()


def test_a_registry_with_an_error_is_reported_and_the_rest_works(instrumented, receiver, tmp_path):
    broken = tmp_path / "broken.yaml"
    broken.write_text("file_format: definition/2\nattributes: 7\n")
    done = instrumented(BUSY, env={"ASSAY_REGISTRY": str(broken)})
    assert "ASSAY_REGISTRY is not used" in done.stderr
    assert "broken.yaml" in done.stderr
    assert receiver.spans()


def test_a_users_registry_may_refer_to_ours(instrumented, receiver, tmp_path):
    (tmp_path / "shop.yaml").write_text(
        "file_format: definition/2\n"
        "events:\n"
        "  - name: shop.order.taken\n"
        "    brief: An order was taken.\n"
        "    stability: development\n"
        "    attributes:\n"
        "      - ref: flowstone.asset\n"
        "        requirement_level: required\n"
    )
    program = "from assay.telemetry import execute\nexecute('shop.order.taken', None, {'asset': 'orders'})"
    done = instrumented(program, env={"ASSAY_REGISTRY": str(tmp_path / "shop.yaml")})
    assert "ASSAY_REGISTRY" not in done.stderr
    (record,) = receiver.logs()
    assert record.event_name == "shop.order.taken"
    assert {a.key: a.value.string_value for a in record.attributes}["flowstone.asset"] == "orders"


def test_the_sdk_can_be_disabled(instrumented, receiver):
    done = instrumented(BUSY, env={"OTEL_SDK_DISABLED": "true"})
    assert done.returncode == 0
    assert receiver.requests == []
    assert "nothing is sent, audit records included" in done.stderr


def test_the_sampler_applies_but_not_to_audit_records(instrumented, receiver):
    instrumented(BUSY, env={"OTEL_TRACES_SAMPLER": "always_off", "ASSAY_SAMPLING": "flowstone.*=0.000001"})
    assert receiver.spans() == []
    assert len(receiver.logs("/v1/audit")) == 1


def test_a_worker_whose_parent_records_sends_no_series(instrumented, receiver):
    instrumented(BUSY, env={"ASSAY_INSTRUMENTS": "off"})
    assert receiver.metrics() == []
    assert len(receiver.spans()) == 1


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing_send_their_telemetry(instrumented, receiver, method):
    program = f"""
import multiprocessing
from assay.telemetry import span

def work(number):
    with span("flowstone.materialization", asset=f"a{{number}}", run_id="r"):
        pass

if __name__ == "__main__":
    work(0)
    context = multiprocessing.get_context("{method}")
    children = [context.Process(target=work, args=(number,)) for number in (1, 2)]
    for child in children: child.start()
    for child in children: child.join()
"""
    done = instrumented(program, name="parent.py")
    assert done.returncode == 0, done.stderr
    assert len(receiver.spans()) == 3, done.stderr
    resources = receiver.resources()
    assert {resource["service.name"] for resource in resources} == {"parent"}
    assert len({resource["service.instance.id"] for resource in resources}) == 3


def test_a_forked_child_sends_its_telemetry(instrumented, receiver):
    program = """
import os, sys
from assay.telemetry import span
with span("flowstone.sensor", sensor="x"): pass
from assay.distro import flush
flush(5)
if os.fork() == 0:
    with span("flowstone.materialization", asset="child", run_id="r"): pass
    sys.exit()
os.wait()
with span("flowstone.materialization", asset="parent", run_id="r"): pass
"""
    done = instrumented(program)
    assert done.returncode == 0, done.stderr
    assert len([one for one in receiver.spans() if one.name == "flowstone.materialization"]) == 2


def test_a_child_that_is_forked_during_an_export_sends_its_metrics(instrumented, receiver):
    """The parent's thread that sends holds locks, which no thread of the child would release."""
    receiver.held["/v1/metrics"] = threading.Event()
    program = """
import os, sys, time, urllib.request
from assay.telemetry import execute
execute("flowstone.materialization.start", None, {"asset": "parent", "run_id": "r"})
time.sleep(1)  # the parent sends now, for as long as it gets no answer
child = os.fork()
if child == 0:
    execute("flowstone.materialization.start", None, {"asset": "child", "run_id": "r"})
    time.sleep(1)
    sys.exit()
deadline = time.monotonic() + 20
while os.waitpid(child, os.WNOHANG) == (0, 0):
    if time.monotonic() > deadline:
        os.kill(child, 9)
        sys.exit("the child does not end")
    time.sleep(0.1)
os._exit(0)
"""
    done = instrumented(
        program, env={"OTEL_METRIC_EXPORT_INTERVAL": "100", "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "60"}
    )
    receiver.held["/v1/metrics"].set()
    assert done.returncode == 0, done.stderr
    labels = {
        pair.value.string_value
        for metric in receiver.metrics()
        if metric.name == "flowstone.materialization.start.count"
        for point in metric.sum.data_points
        for pair in point.attributes
    }
    assert "child" in labels, {metric.name for metric in receiver.metrics()}


def test_a_wrong_value_is_corrected_in_a_forked_child_too(instrumented, receiver):
    program = """
import os, sys
from assay.telemetry import span
if os.fork() == 0:
    with span("flowstone.materialization", asset="child", run_id="r"): pass
    sys.exit()
os.wait()
"""
    done = instrumented(program, env={"OTEL_EXPORTER_OTLP_TIMEOUT": "ten"})
    assert len(receiver.spans()) == 1
    assert done.stderr.count("OTEL_EXPORTER_OTLP_TIMEOUT is 'ten'") == 1
    assert "cannot create" not in done.stderr


def test_initialize_in_a_process_that_was_started_without_it(instrumented, receiver):
    program = """
import os, subprocess, sys
env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
code = '''
from assay.distro import flush, initialize
initialize(instruments=False)
initialize(instruments=False)
from assay.telemetry import span
with span("flowstone.materialization", asset="a", run_id="r"): pass
print(flush(5))
'''
subprocess.run([sys.executable, "-c", code], env=env, check=True)
"""
    done = instrumented(program)
    assert done.stdout == "True\n", done.stderr
    assert len(receiver.spans()) == 1
    assert not any(metric.name.startswith("flowstone.") for metric in receiver.metrics())
