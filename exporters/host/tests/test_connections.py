"""The connections of a listener are shared among machines and senders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.host._connections import Connections, Peer
from assay.host._grpc_connections import parse_peer
from assay.host._refusal import Refusal

HOST = "192.0.2.1"


def opened(connections, *peers):
    """Add connections; return the list of those that are closed to make room."""
    closed = []
    for peer in peers:
        connections.add(peer, lambda peer=peer: closed.append(peer))
    return closed


@pytest.mark.parametrize(
    ("host", "machine"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_a_machine_is_an_ipv4_address_or_an_ipv6_network(host, machine):
    assert Peer.parse(host, 1).machine == machine


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("ipv4:127.0.0.1:50000", Peer("127.0.0.1", 50000)),
        ("ipv6:%5B::1%5D:50000", Peer("::1", 50000)),
        ("ipv6:[::ffff:192.0.2.1]:7", Peer("192.0.2.1", 7)),
        ("unix:", Peer("", 0)),
    ],
)
def test_the_peer_that_grpc_names_is_the_peer_of_the_socket(text, peer):
    assert parse_peer(text) == peer


def test_the_oldest_connection_of_a_machine_is_closed_beyond_its_share():
    connections = Connections(4)
    peers = [Peer(HOST, port) for port in range(3)]
    assert opened(connections, *peers) == [peers[0]]
    assert len(connections) == 3  # until `remove`


def test_room_is_made_by_the_machine_with_most_connections():
    connections = Connections(8)
    many, few = [Peer(HOST, port) for port in range(3)], [Peer("192.0.2.2", port) for port in range(2)]
    closed = opened(connections, *few, *many)
    assert connections.make_room()
    assert closed == [many[0]]


def test_connections_with_an_authenticated_request_make_no_room():
    connections = Connections(4)
    closed = opened(connections, Peer(HOST, 1))
    connections.authenticated(Peer(HOST, 1), "app")
    assert not connections.make_room()
    assert not closed


def test_a_sender_gets_its_share_and_what_it_gives_back():
    connections = Connections(4)
    for port in range(3):
        opened(connections, Peer(HOST, port))
        if port < 2:
            connections.authenticated(Peer(HOST, port), "app")
    with pytest.raises(Refusal) as refused:
        connections.authenticated(Peer(HOST, 2), "app")
    assert refused.value.status == 429
    connections.authenticated(Peer(HOST, 2), "other")
    connections.authenticated(Peer(HOST, 2), "other")  # its next request
    connections.remove(Peer(HOST, 0))
    opened(connections, Peer(HOST, 3))
    connections.authenticated(Peer(HOST, 3), "app")


OPERATIONS = st.tuples(
    st.sampled_from(["add", "remove", "authenticated", "make_room"]),
    st.builds(Peer, st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"]), st.integers(0, 3)),
    st.sampled_from(["app", "auditor"]),
)


@given(st.lists(OPERATIONS, max_size=60))
def test_no_place_is_lost_whatever_happens(operations):
    connections = Connections(5)
    open_now = set()
    for operation, peer, sender in operations:
        if operation == "add" and peer not in open_now:
            connections.add(peer, lambda: None)
            open_now.add(peer)
        elif operation == "remove":
            connections.remove(peer)
            open_now.discard(peer)
        elif operation == "authenticated":
            try:
                connections.authenticated(peer, sender)
            except Refusal:
                assert max(connections._by_sender.values()) == connections.share
        elif operation == "make_room":
            had_one = connections.anonymous > 0
            assert connections.make_room() is had_one
        assert connections.peers == open_now
        assert all(len(each) <= connections.share for each in connections._anonymous.values())
    for peer in open_now:
        connections.remove(peer)
    assert (len(connections), connections.anonymous, +connections._by_sender) == (0, 0, {})
