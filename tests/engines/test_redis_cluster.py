"""Redis Cluster: all keys of a lane are of one slot, and a lane is found at whichever node has it. And TLS."""

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading

import pytest
from redis.crc import key_slot
from redis_server import free_port, serving

from sealane.core.lease import Grant, Wait
from sealane.errors import SettingsError, Unavailable
from sealane.store.redis.address import address_in
from sealane.store.redis.engine import RedisEngine

LEASE_MS = 300
MEET_S = 20.0
SLOTS = 16_384


def pause(passed_ms):
    threading.Event().wait(passed_ms / 1_000)


def slots(keys):
    return {key_slot(key.encode()) for key in keys}


@pytest.mark.parametrize("lane", ["kraken_global_nonce", "a}b{c", "{", "żółw", "kraken_key_0123abcd"])
def test_all_keys_of_a_lane_are_of_one_slot(lane):
    address = address_in("redis://host?prefix=bots")
    *keys, wake = address.lane_keys(lane)
    assert len(slots([*keys, wake + "host}{", wake + "other"])) == 1
    assert len(slots([*address.intent_keys(), address.owners_key()])) == 1
    assert all(key.startswith("bots:{") for key in keys)


def test_lanes_are_spread_over_slots():
    address = address_in("redis://host")
    assert len({key_slot(address.lane_keys(f"lane-{n}")[0].encode()) for n in range(50)}) > 40


@pytest.mark.parametrize("lane", ["kraken_global_nonce", "a}b{c", "{", "żółw", "a:lease"])
def test_a_lane_is_known_by_its_key(lane):
    address = address_in("redis://host?prefix=b.ts")
    assert address.lane_of(address.lane_keys(lane)[0]) == lane
    assert address.lane_of(address.lane_keys(lane)[2]) == ""
    assert address.lane_of(address_in("redis://host?prefix=bots").lane_keys(lane)[0]) == ""


def bus_port():
    """A port whose bus port, 10,000 above, can be had too."""
    while True:
        port = free_port()
        if port < 55_000:
            return port


@contextlib.contextmanager
def a_cluster(tmp_path, count=2):
    """Nodes that share the slots in equal parts; there are no replicas."""
    with contextlib.ExitStack() as stack:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "500")
        nodes = [stack.enter_context(serving(tmp_path / f"node{n}", *options, port=bus_port())) for n in range(count)]
        for number, node in enumerate(nodes):
            part = range(SLOTS * number // count, SLOTS * (number + 1) // count)
            node.say("CLUSTER", "ADDSLOTSRANGE", part[0], part[-1])
            node.say("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            node.say("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        for _ in range(int(MEET_S / 0.05)):
            if all("cluster_state:ok" in state(node) and f"cluster_size:{count}" in state(node) for node in nodes):
                break
            pause(50)
        yield nodes


def state(node):
    said = node.say("CLUSTER", "INFO")
    return said if isinstance(said, str) else "\n".join(f"{name}:{value}" for name, value in said.items())


def test_a_lane_is_found_at_the_node_that_has_it(tmp_path):
    lanes = [f"lane-{n}" for n in range(6)]
    with a_cluster(tmp_path) as nodes:
        engine = RedisEngine(nodes[0].url(lease_ms=LEASE_MS, cluster=1))
        for lane in lanes:
            assert isinstance(engine.acquire(lane, "a", 0)[0], Wait)
        heard = threading.Event()
        stop = engine.listen("a", lambda lane: heard.set())
        pause(LEASE_MS)
        for lane in lanes:
            assert isinstance(engine.acquire(lane, "a", 0)[0], Grant)
            engine.acquire(lane, "b", 0)
        assert heard.wait(10), "a word of any node's is heard at every node"
        engine.write_intent("x", ("y",), "{}", settled=False, sync=True)
        assert engine.read_intent("y") == "{}"
        assert engine.lanes() == sorted(lanes), "of all nodes"
        kept = [set(node.say("KEYS", "*:lease")) for node in nodes]
        assert all(kept)
        assert len(kept[0] | kept[1]) == len(lanes)
        assert not kept[0] & kept[1]
        plain = RedisEngine(nodes[0].url(lease_ms=LEASE_MS))
        with pytest.raises(SettingsError, match="cluster=1"):
            for lane in lanes:
                plain.acquire(lane, "c", 0)
        stop()
        a_node_is_lost(engine, nodes, lanes)
        plain.close()
        engine.close()


def a_node_is_lost(engine, nodes, lanes):
    """Its lanes cannot be had; those of the other node can, though the URL names the one that is lost."""
    there = next(lane for lane in lanes if key_slot(engine._address.lane_keys(lane)[0].encode()) >= SLOTS // 2)
    here = next(lane for lane in lanes if key_slot(engine._address.lane_keys(lane)[0].encode()) < SLOTS // 2)
    nodes[1].say("CONFIG", "SET", "cluster-require-full-coverage", "no")
    nodes[0].kill()
    assert engine.acquire(there, "a", 0)
    with pytest.raises(Unavailable):
        engine.acquire(here, "a", 0)


def test_a_server_that_is_no_cluster_says_so(tmp_path):
    with serving(tmp_path) as server:
        engine = RedisEngine(server.url(cluster=1))
        with pytest.raises(SettingsError, match="no cluster"):
            engine.acquire("lane", "a", 0)
        engine.close()


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path):
    """A certificate of 127.0.0.1's own, and its key, in one file."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "tls.pem"
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(made.public_bytes(form[0]) + key.private_bytes(*form))
    return path


@contextlib.contextmanager
def tls_in_front_of(port, certificate):
    """One connection after another, each forwarded in clear."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def forward(source, target):
        with contextlib.suppress(OSError):
            while piece := source.recv(65_536):
                target.sendall(piece)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve():
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), raw:
                client = context.wrap_socket(raw, server_side=True)
                with client, socket.create_connection(("127.0.0.1", port)) as server:
                    answers = threading.Thread(target=forward, args=(server, client))
                    answers.start()
                    forward(client, server)
                    answers.join()

    threads.append(threading.Thread(target=serve))
    threads[0].start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        threads[0].join(10)


def test_tls_by_url(tmp_path, certificate):
    with serving(tmp_path / "server") as server, tls_in_front_of(server.port, certificate) as port:
        unknown = RedisEngine(f"rediss://127.0.0.1:{port}")
        with pytest.raises(Unavailable, match=r"(?i)certificate"):
            unknown.acquire("lane", "a", 0)
        engine = RedisEngine(f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate}")
        assert isinstance(engine.acquire("lane", "a", 0)[0], Wait)
        assert engine.identity == f"rediss://127.0.0.1:{port}/0"
        engine.close()


def test_where_the_driver_is_not_installed(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "redis", None)
    with pytest.raises(SettingsError, match=r"sealane\[redis\]"):
        RedisEngine("redis://host")
