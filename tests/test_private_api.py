"""Private names of other projects that the distributions use: listed here, existing, and as we need them."""

from __future__ import annotations

import ast
import copy
import importlib
import logging
import re
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

import pytest
from opentelemetry import context
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk._configuration import _OTelSDKConfigurator
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, InMemoryLogRecordExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, Status, StatusCode


class Use(NamedTuple):
    """A private name of another project, or a prefix of several, and the reason to use it."""

    name: str
    """The module, its dot and the name in it; of attributes of objects the attribute alone."""
    users: tuple[str, ...]
    why: str


USES = (
    Use(
        "opentelemetry._logs",
        ("core/distro", "core/instrumentation", "core/telemetry"),
        "the API of log records has no public module yet",
    ),
    Use(
        "opentelemetry.sdk._logs",
        ("core/distro", "core/instrumentation"),
        "the SDK of log records has no public module yet",
    ),
    Use(
        "opentelemetry.exporter.otlp.proto.http._log_exporter",
        ("core/distro",),
        "the exporter of log records has no public module yet",
    ),
    Use(
        "opentelemetry.semconv._incubating.attributes",
        ("semconv",),
        "upstream keeps the attributes that are not stable there",
    ),
    Use(
        "opentelemetry.util._importlib_metadata",
        ("core/distro",),
        "upstream's loader passes entry points of these types",
    ),
    Use(
        "opentelemetry.sdk._configuration._OTelSDKConfigurator",
        ("core/distro",),
        "the documented base class of configurators has no public name",
    ),
    Use(
        "logging._handlerList",
        ("core/distro",),
        "logging has no public list of all handlers; a queue or another handler may hold one",
    ),
    Use("_batch_processor", ("core/distro",), "only it takes a time limit for the shutdown"),
    *(
        Use(name, ("core/distro",), "a batch processor has no public way to ask what waits, and for whom")
        for name in ("_queue", "_exporter")
    ),
    *(
        Use(name, ("core/distro",), "the SDK copies a parent's measurements into a forked child")
        for name in (
            "_measurement_consumer",
            "_reader_storages",
            "_instrument_view_instrument_matches",
            "_attributes_aggregation",
        )
    ),
    *(
        Use(
            name,
            ("core/distro",),
            "a forked child has the locks of the SDK as its parent's threads left them",
        )
        for name in ("_export_lock", "_lock")
    ),
    *(
        Use(name, ("core/distro",), "a redacted copy of a span keeps its counts of dropped items")
        for name in (
            "_name",
            "_attributes",
            "_events",
            "_links",
            "_status",
            "_resource",
            "_instrumentation_scope",
        )
    ),
    Use(
        "_metric_readers", ("core/distro",), "upstream creates the readers, and has no hook for their exports"
    ),
    *(
        Use(name, ("core/distro",), "a periodic reader reads an exporter's preferences there")
        for name in ("_preferred_temporality", "_preferred_aggregation")
    ),
    Use("_receive_metrics", ("core/distro",), "every reader defines it, and all metrics pass it"),
    Use(
        "opentelemetry.context._SUPPRESS_INSTRUMENTATION_KEY",
        ("core/telemetry",),
        "a context has no public test of whether instrumentation is suppressed",
    ),
    Use(
        "opentelemetry.context._RUNTIME_CONTEXT",
        ("core/telemetry",),
        "the public functions only forward to it; each span makes five of these calls",
    ),
    Use("_current_context", ("core/telemetry",), "the default runtime context only forwards to it"),
    Use("dagster._core", ("instrumentations/flowstone",), "Dagster has no public hooks there"),
    Use("dagster._grpc", ("instrumentations/flowstone",), "Dagster has no public hooks there"),
    Use("_event_buffer", ("instrumentations/flowstone",), "events wait there for the rest of their batch"),
    Use("_loggers", ("instrumentations/flowstone",), "a log handler has no public way to its loggers"),
    Use("kopf._core", ("instrumentations/alumiini",), "kopf has no public hooks there"),
    Use(
        "_runner", ("instrumentations/alumiini",), "kopf has no public hook at the start of a daemon or timer"
    ),
    Use(
        "_claims", ("instrumentations/flowstone",), "the steps that hold a slot of a pool have no public name"
    ),
    Use("_run_id", ("instrumentations/flowstone",), "nor has the run whose steps claim the slots"),
    Use("_instance", ("instrumentations/flowstone",), "a run domain has no public way to its instance"),
    Use(
        "concurrent.futures.process._ExceptionWithTraceback",
        ("instrumentations/snakepit",),
        "an exception arrives from a child as it would without us",
    ),
    Use("_ExceptionWithTraceback", ("instrumentations/snakepit",), "the same for the executors of loky"),
    *(
        Use(
            f"snakepit_bridge.heartbeat.HeartbeatClient.{name}",
            ("instrumentations/snakepit",),
            "a heartbeat has no hook",
        )
        for name in ("_send_ping", "_emit_threshold_notification")
    ),
    *(
        Use(name, ("instrumentations/snakepit",), "an executor has no public way to ask for its workers")
        for name in ("_max_workers", "_max_tasks_per_child", "_processes", "_thread_name_prefix")
    ),
    *(
        Use(
            f"multiprocessing.pool.{name}",
            ("instrumentations/snakepit",),
            "a pool has no public way in or out",
        )
        for name in (
            "Pool._guarded_task_generation",
            "Pool._join_exited_workers",
            "ApplyResult._set",
            "MapResult._set",
            "IMapIterator._set",
            "IMapUnorderedIterator._set",
        )
    ),
    *(
        Use(name, ("instrumentations/snakepit",), "a pool has no public way to ask for its workers and jobs")
        for name in ("_job", "_maxtasksperchild", "_pool", "_helper_reraises_exception")
    ),
    *(
        Use(name, ("instrumentations/flowstone",), "an IO manager has no public way to ask for its paths")
        for name in ("_get_path", "_get_paths_for_partitions")
    ),
)
PUBLIC = {"_asdict", "_fields", "_make", "_replace"}
"""Names of `collections.namedtuple`, which underscores keep apart from the fields."""
NOT_INSTALLED = ("snakepit_bridge.",)
"""Modules in no package index; the package's own tests use the names where a checkout is given."""
BY_NAME = {"getattr", "setattr", "hasattr", "delattr", "attrgetter"}
"""Functions that take an attribute's name as a string."""


def private(name: str) -> bool:
    """Return whether a part of a dotted name is private."""
    return any(re.match(r"_(?!_)", part) for part in name.split(".")) and name not in PUBLIC


def covers(use: Use, name: str) -> bool:
    return f"{name}.".startswith(f"{use.name}.")


class Scan:
    """Finds the private names that one distribution uses and does not define."""

    def __init__(self, modules: dict[str, ast.Module], ours: list[str]) -> None:
        self.ours = ours
        self.nodes = [(module, node) for module in modules.values() for node in ast.walk(module)]
        self.defined = {name for _, node in self.nodes for name in self._defines(node)}

    @staticmethod
    def _defines(node: ast.AST) -> Iterator[str]:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Attribute(attr=name, ctx=ast.Store()) | ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from (alias.asname for alias in names if alias.asname)

    def uses(self) -> set[str]:
        """Return the private names of others."""
        return {
            name
            for module, node in self.nodes
            for name in self._names(module, node)
            if private(name) and not any(f"{name}.".startswith(f"{package}.") for package in self.ours)
        }

    def _names(self, module: ast.Module, node: ast.AST) -> Iterator[str]:
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(origin), names=names):
                yield from (f"{origin}.{alias.name}" for alias in names)
            case ast.Attribute(value=value, attr=name) if name not in self.defined:
                yield f"{_origin(module, value)}.{name}".lstrip(".")
            case ast.Call(func=ast.Name(id=function), args=[value, ast.Constant(value=str(name)), *_]) if (
                function in BY_NAME and name not in self.defined
            ):
                yield f"{_origin(module, value)}.{name}".lstrip(".")
            case ast.Subscript(
                value=ast.Call(func=ast.Name(id="vars"), args=[value]), slice=ast.Constant(value=str(name))
            ):
                yield f"{_origin(module, value)}.{name}".lstrip(".")
            case ast.Call(func=ast.Name(id="Target"), args=[origin, name]):
                yield f"{_text(module, origin)}.{_text(module, name)}"
            case ast.Constant(value=str(text)) if re.fullmatch(r"[a-z]\w*(\.\w+)+", text):
                yield text


def _origin(module: ast.Module, value: ast.AST) -> str:
    """Return the dotted name under which an expression was imported; empty if it was not."""
    if not isinstance(value, ast.Name):
        return ""
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom | ast.Import):
            for alias in node.names:
                if (alias.asname or alias.name) == value.id:
                    return f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
    return ""


def _text(module: ast.Module, value: ast.AST) -> str:
    """Return the text of a string, of an f-string of module constants, or of a module constant."""
    match value:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(module, part) for part in parts)
        case ast.FormattedValue(value=inner):
            return _text(module, inner)
        case ast.Name(id=name):
            for node in module.body:
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
                    return _text(module, node.value)
    raise AssertionError(f"cannot evaluate {ast.unparse(value)}")


def exists(name: str) -> bool:
    """Import as much of a dotted name as there are modules, and look up the rest in the last of them."""
    path, *rest = name.split(".")
    found: object = importlib.import_module(path)
    for part in rest:
        path = f"{path}.{part}"
        if not hasattr(found, part) and not (isinstance(found, ModuleType) and _is_module(path)):
            return False
        found = getattr(found, part)
    return True


def _is_module(path: str) -> bool:
    """Import a module, which makes it an attribute of its package; return whether there is one."""
    try:
        importlib.import_module(path)
    except ModuleNotFoundError:
        return False
    return True


@pytest.fixture(scope="session")
def found(distributions) -> dict[str, set[str]]:
    """Return the private names that each distribution uses, by folder."""
    ours = [each.package for each in distributions.values()]
    return {folder: Scan(each.modules, ours).uses() for folder, each in distributions.items()}


def test_each_use_is_listed(found):
    unlisted = {
        f"{folder}: {name}"
        for folder, names in found.items()
        for name in names
        if not any(folder in use.users and covers(use, name) for use in USES)
    }
    assert unlisted == set()


def test_each_name_exists(found):
    """Attributes of objects stand alone, without a module; the tests below create such objects."""
    dotted = {name for names in found.values() for name in names if "." in name}
    assert [name for name in dotted if not name.startswith(NOT_INSTALLED) and not exists(name)] == []


def test_each_entry_is_used(distributions):
    source = {folder: "".join(map(ast.dump, each.modules.values())) for folder, each in distributions.items()}
    unused = [
        f"{user}: {use.name}"
        for use in USES
        for user in use.users
        if use.name.rpartition(".")[2] not in source[user]
    ]
    assert unused == []


def test_scan_finds_each_way_to_use_a_private_name():
    code = """
import a._b
from c import _d
from e import f
f._g()
getattr(f, "_h")
vars(f)["_v"]
thing._i
thing._asdict()
self._own = thing._own
M = "j._k"
Target(f"{M}.l", "N._o")
"""
    uses = Scan({"m": ast.parse(code)}, ["ours"]).uses()
    assert uses == {"a._b", "c._d", "e.f._g", "e.f._h", "e.f._v", "_i", "j._k", "j._k.l.N._o"}


def test_context_is_attached_and_read_as_by_the_public_functions():
    runtime = context._RUNTIME_CONTEXT
    token = runtime.attach(context.set_value("key", "value"))
    try:
        assert context.get_value("key") == "value"
        assert runtime.get_current() == context.get_current()
        assert type(runtime).__name__ == "ContextVarsRuntimeContext"
        assert runtime._current_context.get() is context.get_current()
    finally:
        context.detach(token)


def test_key_of_suppression_is_what_the_public_function_sets():
    with suppress_instrumentation():
        assert context.get_value(context._SUPPRESS_INSTRUMENTATION_KEY) is True


def test_list_of_handlers_refers_to_one_that_no_logger_has():
    handler = logging.NullHandler()
    assert handler in [reference() for reference in logging._handlerList]


def test_copy_of_a_span_takes_other_contents():
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(spans))
    provider.get_tracer("test").start_span("name", attributes={"key": "secret"}).end()
    provider.shutdown()
    (span,) = spans.get_finished_spans()
    contents = {
        "name": "other",
        "attributes": {"key": "***"},
        "events": (Event("event"),),
        "links": (Link(span.context),),
        "status": Status(StatusCode.ERROR, "***"),
        "resource": Resource({"key": "***"}),
        "instrumentation_scope": InstrumentationScope("other"),
    }
    changed = copy.copy(span)
    for name, value in contents.items():
        setattr(changed, f"_{name}", value)
    assert {name: getattr(changed, name) for name in contents} == contents
    assert (span.name, dict(span.attributes)) == ("name", {"key": "secret"})


def test_metrics_of_a_provider_pass_a_method_of_its_readers():
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    received = []
    (found,) = provider._metric_readers
    found._receive_metrics = lambda data, *_, **__: received.append(data)
    provider.get_meter("m").create_counter("c").add(1)
    reader.collect()
    provider.shutdown()
    assert [metric.name for metric in received[0].resource_metrics[0].scope_metrics[0].metrics] == ["c"]


@pytest.mark.parametrize(
    "processor",
    [
        lambda: BatchSpanProcessor(InMemorySpanExporter()),
        lambda: BatchLogRecordProcessor(InMemoryLogRecordExporter()),
    ],
)
def test_shutdown_of_a_batch_processor_takes_a_time_limit(processor):
    processor()._batch_processor.shutdown(timeout_millis=1000)


def test_aggregations_of_the_sdk_can_be_forgotten():
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    provider.get_meter("test").create_histogram("h").record(1)
    (storage,) = provider._measurement_consumer._reader_storages.values()
    for matches in storage._instrument_view_instrument_matches.values():
        for match in matches:
            match._attributes_aggregation.clear()
    assert reader.get_metrics_data() is None
    provider.shutdown()


def test_configurator_has_the_method_that_ours_overrides():
    assert callable(_OTelSDKConfigurator._configure)
