"""The free ports that a folder keeps."""

from __future__ import annotations

import contextlib
import dataclasses
import socket

import pytest

from assay.cli import up
from assay.cli._addresses import StackAddresses, kept_free_addresses
from assay.cli._folder import Folder
from assay.cli._loopback import answers


def test_free_addresses_are_kept_until_one_is_in_use(tmp_path):
    path = tmp_path / "state" / "addresses.json"
    addresses = kept_free_addresses(path)
    assert len(set(addresses.all())) == len(addresses.all()) == 10
    assert kept_free_addresses(path) == addresses
    with socket.create_server(("127.0.0.1", int(addresses.host.health.rpartition(":")[2]))):
        others = kept_free_addresses(path)
    assert addresses.host.health not in others.all()
    assert kept_free_addresses(path) == others


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"collector": {}}',
        '{"collector": {"x": 1}, "host": {}}',
        "\xff",
        '{"collector": {"audit": "x"}, "host": {}}',
        '{"collector": {}, "host": {"grpc": 1}}',
    ],
)
def test_a_file_of_another_form_is_replaced(tmp_path, content):
    path = tmp_path / "addresses.json"
    path.write_text(content, encoding="latin-1")
    addresses = kept_free_addresses(path)
    assert kept_free_addresses(path) == addresses


def test_a_start_on_free_ports_is_tried_again_when_another_process_took_one(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        free = StackAddresses.free()
        first = dataclasses.replace(free, host=dataclasses.replace(free.host, direct=taken))
        chosen = [first]
        kept = up.kept_free_addresses
        monkeypatch.setattr(up, "kept_free_addresses", lambda path: chosen.pop() if chosen else kept(path))
        with contextlib.ExitStack() as running:
            stack = up._start(running, Folder(tmp_path), None, free_ports=True)
            assert answers(f"http://{stack.host.health}/health/ready")
    assert chosen == []
    assert taken not in StackAddresses(host=stack.host).all()


def test_no_two_free_addresses_are_the_same_nor_one_that_linux_gives_out():
    for _ in range(50):
        addresses = StackAddresses.free().all()
        assert len(set(addresses)) == len(addresses)
        assert all(int(address.rpartition(":")[2]) < 32_768 for address in addresses)
