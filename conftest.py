"""For all tests: limits on memory and open files, and nothing left in the process or in the user's folders.

The fixture `postgresql_server` starts a database server for the tests that request it;
`run_postgresql` starts one with other settings.

Tests of properties try the same examples in each run; `make fuzz` tries others.

Each process of a test, the test's own included, may use 1 GiB of memory for data and open 1,024 files. A Go
toolchain that builds a service for the tests has no limit on its memory.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

MEMORY = 1 << 30
FILES = 1024
START_SECONDS = 120


def pytest_configure() -> None:
    """Limit this process, and with it all that the tests start."""
    # Programs may raise their limit to the hard one, and Go programs do so for files.
    files = min(FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    _limit_memory()
    # A package without tests of properties is also tested alone.
    if importlib.util.find_spec("hypothesis") is not None:
        _repeat_examples()


def _repeat_examples() -> None:
    from hypothesis import HealthCheck, settings  # noqa: PLC0415 - see the call

    slow = [HealthCheck.too_slow]
    settings.register_profile(
        "repeat", derandomize=True, database=None, deadline=None, suppress_health_check=slow
    )
    settings.load_profile("repeat")


@pytest.fixture(scope="session")
def unlimited_memory() -> Callable[[], AbstractContextManager[None]]:
    """Return a function whose context manager lets a program that builds a service use any memory."""

    @contextmanager
    def unlimited() -> Iterator[None]:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
        try:
            yield
        finally:
            _limit_memory()

    return unlimited


def _limit_memory() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@pytest.fixture(autouse=True, scope="session")
def _state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Restore the handler of SIGTERM: with that of Dagster, children of a later test may not end."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        return (yield)
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass(frozen=True)
class PostgreSQLServer:
    """A PostgreSQL server; its role `owner` is a superuser without a password on the Unix socket."""

    folder: Path  # of the Unix socket
    port: int  # on 127.0.0.1 too, with passwords
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQLServer]:
    """Start the server of Debian's package in a folder of its own, as a user that is not root."""
    if _postgresql_programs() is None:
        reason = "PostgreSQL is not installed: scripts/setup --tests installs it"
        if os.environ.get("ASSAY_REQUIRE_SERVICES") == "1":
            pytest.fail(f"ASSAY_REQUIRE_SERVICES=1, and {reason}")
        pytest.skip(reason)
    settings = ["fsync=off", "shared_buffers=32MB", "max_connections=60"]
    settings += ["wal_writer_delay=10s"]  # a commit that nothing waits for is not on disk by accident
    with run_postgresql(*settings) as server:
        yield server


@contextmanager
def run_postgresql(*settings: str) -> Generator[PostgreSQLServer]:
    """Run a PostgreSQL server in a folder of its own, as a user that is not root; benchmarks use it too.

    Args:
        settings: Settings of the server, such as `fsync=off`.

    Raises:
        FileNotFoundError: PostgreSQL is not installed.
    """
    programs = _postgresql_programs()
    if programs is None:
        raise FileNotFoundError("PostgreSQL is not installed: scripts/setup --tests installs it")
    # The path of a Unix socket has at most 107 characters, and other users cannot enter pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="assay-postgresql-", dir="/tmp"))
    user = "postgres" if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    try:
        initialize = ["--no-sync", "--username=owner", "--auth-local=trust", "--auth-host=scram-sha-256"]
        initialize += ["--encoding=UTF8", "--locale=C.UTF-8", f"--pgdata={folder / 'data'}"]
        command = [programs / "initdb", *initialize]
        subprocess.run(command, cwd=folder, user=user, check=True, capture_output=True)
        with _serve_postgresql(programs, folder, user, settings) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _postgresql_programs() -> Path | None:
    folders = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


@contextmanager
def _serve_postgresql(
    programs: Path, folder: Path, user: str | None, settings: Sequence[str]
) -> Generator[PostgreSQLServer]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = [f"-k{folder}", "-h127.0.0.1", f"-p{port}", "-cunix_socket_permissions=0700"]
    options += [f"-c{setting}" for setting in settings]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [programs / "postgres", f"-D{folder / 'data'}", *options],
            cwd=folder, user=user, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        ready = [programs / "pg_isready", f"-h{folder}", f"-p{port}", "-q"]
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run(ready, check=False).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL does not start: {(folder / 'log').read_text()}")
            time.sleep(0.1)
        yield PostgreSQLServer(folder, port, process)
    finally:
        process.send_signal(signal.SIGINT)  # fast shutdown
        process.wait(START_SECONDS)
