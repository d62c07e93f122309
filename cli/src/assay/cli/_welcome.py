"""The lines that `assay up` prints: addresses, files, variables for applications, and commands to try."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from assay.cli._folder import DEFAULT_FOLDER
from assay.cli._stack import Stack


def welcome(stack: Stack, exports: str) -> Iterator[str]:
    """Yield the lines; a shell that reads them sets the variables.

    Args:
        stack: The services, running.
        exports: The variables for applications, one `export` a line.
    """
    yield from _section("addresses", _addresses(stack))
    if stack.binary is None:
        yield (
            "# without a Collector: no queue on disk before the exporters, no sampling, and redaction in the"
            " application only"
        )
    yield f"# Prometheus scrapes {stack.host.prometheus_url}"
    folder = stack.folder
    yield from _section(f"files in {_shown(folder.root)}", _files(stack))
    yield f"# variables for applications, also in {_shown(folder.environment)}:"
    yield from exports.splitlines()
    yield from _section("to try, in another terminal", _commands(stack))


def _section(title: str, rows: list[tuple[str, str]]) -> Iterator[str]:
    yield f"# {title}:"
    width = max(len(name) for name, _ in rows)
    for name, meaning in rows:
        yield f"#   {name:<{width}}  {meaning}"


def _addresses(stack: Stack) -> list[tuple[str, str]]:
    host, collector = stack.host, stack.collector
    if stack.binary is None:
        return [
            (f"http://{host.direct}", "spans, metrics, logs and audit records of applications (OTLP/HTTP)"),
            (f"http://{host.health}/health/detailed", "health of the exporters"),
        ]
    return [
        (f"http://{collector.otlp_http}", "spans, metrics and logs of applications (OTLP/HTTP)"),
        (f"http://{collector.otlp_grpc}", "the same (OTLP/gRPC)"),
        (collector.audit_url, "audit records of applications"),
        (f"http://{host.health}/health/detailed", "health of the exporters"),
        (collector.telemetry_url, "the Collector's own metrics"),
    ]


def _files(stack: Stack) -> list[tuple[str, str]]:
    folder = stack.folder
    files = [
        (folder.traces, "spans: OTLP JSON, one request a line"),
        (folder.logs, "log events, in the same form"),
        (folder.cdevents, "CDEvents: structured CloudEvents, one a line"),
        (folder.database, "the audit log"),
        (folder.checkpoint, "its newest signed checkpoint"),
        (folder.verifier_key, "the key that verifies it"),
        (folder.state, "tokens, queues, the CDEvents' outbox, the series"),
        (folder.host_log, "output of the exporter host"),
    ]
    if stack.binary is not None:
        files.append((folder.collector_log, "output of the Collector"))
    return [(str(path.relative_to(folder.root)), meaning) for path, meaning in files]


def _commands(stack: Stack) -> list[tuple[str, str]]:
    folder = stack.folder
    is_default = folder.root == DEFAULT_FOLDER.absolute()
    keep = "" if is_default else f" --keep {_shown(folder.root)}"
    log = "" if is_default else f" --db {_shown(folder.database)} --key {_shown(folder.verifier_key)}"
    return [
        (f". {_shown(folder.environment)} && opentelemetry-instrument python app.py", "send telemetry here"),
        (f"assay show{keep}", "runs, and of one run its trace, audit records and CDEvents"),
        (f"assay audit verify{log}", "recompute the audit log"),
    ]


def _shown(path: Path) -> str:
    """Return a path as one types it in a shell, relative to the working directory if it is below it."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
