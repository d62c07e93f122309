"""For all tests: limits on memory and open files, and nothing left in the process or in the user's folders.

Each process of a test, the test's own included, may use 1 GiB of memory for data and open 1,024 files. A Go
toolchain that builds a service for the tests has no limit on its memory.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

MEMORY = 1 << 30
FILES = 1024


def pytest_configure() -> None:
    """Limit this process, and with it all that the tests start."""
    # Programs may raise their limit to the hard one, and Go programs do so for files.
    files = min(FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    _limit_memory()


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
