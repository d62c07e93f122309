"""HTTP sessions of exporters, separate from the HTTP traffic of the application.

An exporter runs inside the application's process. Its session

- is not intercepted by `responses`, `requests-mock` or `vcrpy`, which replace parts of requests and urllib3
  for the whole process: the application's tests neither record nor answer exports. This module must be
  imported before they are activated;
- drops urllib3's log records about exports, without a change of urllib3's log levels;
- opens connections of its own in a forked child.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

import requests
from requests.adapters import DEFAULT_POOLSIZE, HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

# The classes below use these originals, whatever replaces the attributes later.
_send = HTTPAdapter.send
_LOGGERS = ("urllib3.connectionpool", "urllib3.util.retry")


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = HTTPConnectionPool.ConnectionCls


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = HTTPSConnectionPool.ConnectionCls


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


class ExporterSession(requests.Session):
    """A `requests.Session` for the requests of an exporter; see the module."""

    def __init__(self) -> None:
        super().__init__()
        self._adapter = _Adapter()
        self.mount("http://", self._adapter)
        self.mount("https://", self._adapter)
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_quiet)  # has no effect the second time

    def get_adapter(self, url: str | bytes) -> HTTPAdapter:
        """Return the session's one adapter; `requests-mock` replaces the method of the base class."""
        del url
        return self._adapter


class _Adapter(HTTPAdapter):
    def __init__(self) -> None:
        self._process = os.getpid()
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the base class's signature
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:  # noqa: ANN401 - as above
        if self._process != os.getpid():
            # The connections belong to the parent, whose requests would mix with ours on them.
            self._process = os.getpid()
            self.init_poolmanager(DEFAULT_POOLSIZE, DEFAULT_POOLSIZE)
            self.proxy_manager.clear()
        with _quiet:
            return _send(self, *args, **kwargs)


class _Quiet(logging.Filter):
    """Drops the log records of a thread while it sends a request of an exporter."""

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        del record
        return not getattr(self._local, "is_sending", False)

    def __enter__(self) -> None:
        self._local.is_sending = True

    def __exit__(self, *_: object) -> None:
        self._local.is_sending = False


_quiet = _Quiet()
