"""The increases that the demo reads of a real Prometheus."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from assay.cli._demo.increases import PrometheusReader
from assay.cli._demo.prometheus import Prometheus, find_prometheus
from assay.instrumentation.testing import wait_until

COUNTER = "# TYPE shop_orders_total counter\nshop_orders_total 1\n"
GAUGE = "# TYPE shop_open gauge\nshop_open 1\n"


@contextmanager
def serving(page: list[str]):
    """Serve a page of series, whose text may change."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page[0].encode())

        def log_message(self, *_):
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.slow
def test_a_gauge_that_has_left_the_page_has_arrived(tmp_path):
    """A gauge disappears some time after its process has ended, and nobody may have read the page before."""
    binary = find_prometheus()
    if binary is None:
        reason = "prometheus is not installed (Debian package prometheus)"
        if os.environ.get("ASSAY_REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    page = [COUNTER + GAUGE]
    with serving(page) as target, Prometheus(binary, tmp_path, target) as prometheus:
        wait_until(lambda: "shop_open" in prometheus.names())
        page[0] = COUNTER
        reader = PrometheusReader(prometheus, f"http://{target}/metrics")
        assert reader.read(("shop_",)).families == ["shop_open", "shop_orders_total"]
