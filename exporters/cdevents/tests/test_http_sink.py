from __future__ import annotations

import contextlib
import json
import socket
import threading

import pytest
from pydantic import ValidationError

from assay.exporters.cdevents import check
from assay.exporters.cdevents._http_sink import HTTPSettings, HTTPSink
from assay.exporters.cdevents._outbox import OutboxEntry
from assay.exporters.cdevents.cloudevents import envelope, from_request
from assay.exporters.cdevents.errors import DeliveryFailed, DeliveryRefused, SinkUnavailable

EVENT = {
    "context": {
        "specversion": "0.5.1", "id": "1", "source": "/a", "type": "dev.cdevents.taskrun.started.0.3.0",
        "timestamp": "2026-01-01T00:00:00Z",
    },
    "subject": {"id": "é 1", "content": {}},
}  # fmt: skip
DOCUMENT = envelope(EVENT, f"00-{'1' * 32}-{'2' * 16}-01")
ENTRY = OutboxEntry("s", "1", "t", "x", "", json.dumps(DOCUMENT, ensure_ascii=False))


def send(url, **settings):
    sink = HTTPSink(HTTPSettings(type="http", url=url, timeout=settings.pop("timeout", 5), **settings))
    try:
        sink.send([ENTRY])
    finally:
        sink.close()


@contextlib.contextmanager
def answering(answer):
    """Answer one request with bytes, which need not be HTTP, and close the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def once() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=once, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        thread.join(10)


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_each_mode_sends_a_valid_cloudevent(endpoint, mode):
    send(endpoint.url, mode=mode)
    [(headers, body)] = endpoint.accepted
    assert ("ce-id" in headers) == (mode == "binary")
    document = from_request(headers, body)
    assert document == DOCUMENT
    assert check(document) == EVENT


def test_a_structured_event_has_the_bare_media_type(endpoint):
    send(endpoint.url, mode="structured")
    assert endpoint.accepted[0][0]["content-type"] == "application/cloudevents+json"


@pytest.mark.parametrize("status", [204, 500])
def test_the_connection_is_kept_between_events(endpoint, status):
    endpoint.answer = lambda _: (status, {})
    sink = HTTPSink(HTTPSettings(type="http", url=endpoint.url, timeout=5))
    try:
        for _ in range(3):
            with contextlib.suppress(DeliveryFailed):
                sink.send([ENTRY])
        [pool] = sink._pool.pools._container.values()
        assert (pool.num_requests, pool.num_connections) == (3, 1)
    finally:
        sink.close()


def test_the_proxy_of_the_environment_is_used(endpoint, monkeypatch):
    monkeypatch.setenv("http_proxy", endpoint.url.removesuffix("/events"))
    monkeypatch.setenv("no_proxy", "")
    send("http://receiver.invalid/events")
    assert endpoint.accepted[0][0]["host"] == "receiver.invalid"


def test_netrc_does_not_replace_the_token(endpoint, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    send(endpoint.url, token="s3cret")
    assert endpoint.accepted[0][0]["authorization"] == "Bearer s3cret"
    send(endpoint.url)
    assert "authorization" not in endpoint.accepted[1][0]


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (500, {}, DeliveryFailed),
        (408, {}, DeliveryFailed),
        (503, {}, SinkUnavailable),
        (500, {"Retry-After": "7"}, SinkUnavailable),
        (429, {"Retry-After": "7"}, SinkUnavailable),
        (401, {}, SinkUnavailable),
        (404, {}, SinkUnavailable),
        (400, {}, DeliveryRefused),
        (413, {}, DeliveryRefused),
        (301, {"Location": "http://127.0.0.1:1/"}, DeliveryRefused),
    ],
)
def test_each_status_has_its_error(endpoint, status, headers, error):
    endpoint.answer = lambda _: (status, headers)
    with pytest.raises(error, match=f"answered {status} ") as caught:
        send(endpoint.url)
    assert status == 301 or str(caught.value).endswith(": because")
    if "Retry-After" in headers:
        assert caught.value.after == 7
    assert len(endpoint.requests) == 1


def test_a_receiver_that_hangs_or_is_down_is_unavailable(endpoint):
    endpoint.answer = lambda _: None
    with pytest.raises(SinkUnavailable, match="Timeout"):
        send(endpoint.url, timeout=0.1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(SinkUnavailable, match="NewConnectionError"):
            send(f"http://127.0.0.1:{free.getsockname()[1]}/")


def test_a_receiver_that_sends_half_a_response_is_unavailable():
    with answering(b"HTTP/1.1 20") as url, pytest.raises(SinkUnavailable):
        send(url)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\nhalf", DeliveryRefused),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\nhalf", DeliveryFailed),
        (b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\nnonsense", SinkUnavailable),
        (
            b"HTTP/1.1 400 Bad Request\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nhalf",
            DeliveryRefused,
        ),
    ],
)
def test_the_status_decides_even_if_the_body_is_broken(answer, error):
    with answering(answer) as url, pytest.raises(error, match="answered"):
        send(url)


@pytest.mark.parametrize("url", ["ftp://a/", "nothing", "http://user:pw@host/", "https:///x"])
def test_an_invalid_url_is_refused(url):
    with pytest.raises(ValidationError):
        HTTPSettings(type="http", url=url)


def test_neither_token_nor_query_is_shown():
    settings = HTTPSettings(type="http", url="https://host/path?key=s3cret", token="s3cret")
    assert settings.title == "http:https://host/path"
    assert "s3cret" not in repr(settings.token)


def test_no_error_contains_the_query(endpoint):
    endpoint.answer = lambda _: None
    with pytest.raises(SinkUnavailable) as caught:
        send(f"{endpoint.url}?key=s3cret&more=s3cret", timeout=0.1)
    assert "s3cret" not in str(caught.value)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(SinkUnavailable, match="Connection refused") as caught:
            send(f"http://127.0.0.1:{free.getsockname()[1]}/?key=s3cret")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("token", ["s3cret\n", "s3cret s3cret", "s3crét", ""])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(token):
    with pytest.raises(ValidationError, match=r"visible ASCII|the token is empty") as caught:
        HTTPSettings(type="http", url="http://a/", token=token)
    assert "s3cr" not in str(caught.value)


def test_a_missing_file_of_authorities_is_refused(tmp_path):
    with pytest.raises(ValidationError, match="file"):
        HTTPSettings(type="http", url="https://a/", ca=tmp_path / "ca.pem")


def test_a_receiver_can_request_a_wait_of_an_hour_at_most(endpoint):
    endpoint.answer = lambda _: (503, {"Retry-After": "999999"})
    with pytest.raises(SinkUnavailable) as caught:
        send(endpoint.url)
    assert caught.value.after == 3600
