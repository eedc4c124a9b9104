"""The wire against a server that does one odd thing at a time: what is not sent, what is in doubt, and every limit."""

import asyncio
import socket
import ssl
import threading
from contextlib import contextmanager

import pytest

from sealane.core.signing import Request, public_request
from sealane.core.verdict import Failure, Outcome, Reply, judge
from sealane.simulator import Simulator
from sealane.transport.http import AsyncHttpTransport, HttpTransport, Timeouts
from sealane.transport.scripted import AsyncScriptedTransport, ScriptedTransport, answer

LIMIT_S = 10
OK = b"HTTP/1.1 200 OK\r\nx-trace-id: t-1\r\ncontent-length: 12\r\n\r\n" + b'{"error":[]}'
TIME = public_request("Time", {})
SHORT = Timeouts(connect_s=1.0, read_s=0.3)


@contextmanager
def server(*scripts, family=socket.AF_INET, host="127.0.0.1"):
    """A server that treats its connections by the scripts, in order; yields its URL and the requests it read."""
    listener = socket.create_server((host, 0), family=family)
    heard, done = [], threading.Event()

    def serve():
        for script in scripts:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(LIMIT_S)
                script(connection, heard, done)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    shown = f"[{host}]" if ":" in host else host
    try:
        yield f"http://{shown}:{listener.getsockname()[1]}", heard
    finally:
        done.set()
        listener.close()
        thread.join(LIMIT_S)


def read(connection, heard):
    """One request, head and body; False at the end of the connection."""
    got = b""
    while b"\r\n\r\n" not in got:
        part = connection.recv(65536)
        if not part:
            return False
        got += part
    head, _, body = got.partition(b"\r\n\r\n")
    wanted = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
    )
    while len(body) < wanted:
        body += connection.recv(65536)
    heard.append((head, body))
    return True


def answers(*parts, times=1):
    def script(connection, heard, done):
        for _ in range(times):
            if not read(connection, heard):
                return
            for part in parts:
                connection.sendall(part)

    return script


def hangs(connection, heard, done):
    read(connection, heard)
    done.wait(LIMIT_S)


def drips(connection, heard, done):
    """A byte at a time, each well within a read's limit, for ever."""
    read(connection, heard)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while not done.wait(0.02):
        try:
            connection.sendall(b" ")
        except OSError:
            return


def send_blocking(url, request=TIME, timeouts=SHORT, times=1, between=lambda: None):
    transport = HttpTransport(url, timeouts)
    try:
        return [(transport.send(request), between())[0] for _ in range(times)][-1]
    finally:
        transport.close()


def send_async(url, request=TIME, timeouts=SHORT, times=1, between=lambda: None):
    async def go():
        transport = AsyncHttpTransport(url, timeouts)
        try:
            return [(await transport.send(request), between())[0] for _ in range(times)][-1]
        finally:
            await transport.close()

    return asyncio.run(go())


both = pytest.mark.parametrize("send", [send_blocking, send_async], ids=["blocking", "asyncio"])


@both
def test_an_answer_with_its_trace_id(send):
    with server(answers(OK)) as (url, heard):
        assert send(url) == Reply(200, b'{"error":[]}', "t-1")
    assert heard[0][0].startswith(b"GET /0/public/Time HTTP/1.1\r\n")
    assert b"host: 127.0.0.1:" in heard[0][0].lower()


@both
def test_a_post_is_sent_as_it_was_signed(send):
    request = Request("POST", "/0/private/Balance", ((b"API-Key", b"k"), (b"API-Sign", b"s==")), b"nonce=1")
    with server(answers(OK)) as (url, heard):
        send(url, request)
    head, body = heard[0]
    assert body == b"nonce=1"
    assert b"api-sign: s==" in head.lower()


@both
def test_a_connection_is_used_again(send):
    with server(answers(OK, times=5)) as (url, heard):
        send(url, times=5)
    assert len(heard) == 5


@both
def test_a_connection_that_was_closed_meanwhile_is_not(send):
    hung_up = threading.Event()

    def answers_and_hangs_up(connection, heard, done):
        answers(OK)(connection, heard, done)
        connection.close()
        hung_up.set()

    with server(answers_and_hangs_up, answers(OK)) as (url, heard):
        reply = send(url, times=2, between=lambda: hung_up.wait(LIMIT_S))
    assert isinstance(reply, Reply)
    assert len(heard) == 2


@both
def test_a_chunked_answer(send):
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nc\r\n" + b'{"error":[]}' + b"\r\n0\r\n\r\n"
    with server(answers(chunked, times=2)) as (url, _):
        assert send(url, times=2) == Reply(200, b'{"error":[]}', "")


@both
def test_nobody_listening_is_not_sent(send):
    with server() as (url, _):
        pass
    failure = send(url)
    assert isinstance(failure, Failure)
    assert not failure.sent
    assert judge(failure).outcome is Outcome.NOT_SENT


@both
@pytest.mark.parametrize(
    "script",
    [
        answers(),
        answers(b"rubbish\r\n\r\n"),
        answers(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n" + b'{"err'),
        answers(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nc\r\n" + b'{"err'),
        hangs,
        drips,
    ],
    ids=["closed", "rubbish", "half", "half a chunk", "hangs", "drips"],
)
def test_whatever_goes_wrong_after_sending_is_in_doubt(send, script):
    with server(script) as (url, heard):
        failure = send(url)
        assert len(heard) == 1
    assert isinstance(failure, Failure)
    assert failure.sent
    assert judge(failure).outcome is Outcome.IN_DOUBT


@both
def test_a_redirect_is_not_followed(send):
    moved = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
    with server(answers(moved)) as (url, heard):
        reply = send(url)
    assert isinstance(reply, Reply)
    assert (reply.status, judge(reply).outcome, len(heard)) == (302, Outcome.IN_DOUBT, 1)


@both
def test_an_answer_without_end_has_a_limit(send, monkeypatch):
    monkeypatch.setattr("sealane.transport.http.BODY_LIMIT", 1000)
    large = b"HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n" + b" " * 200000
    with server(answers(large)) as (url, _):
        failure = send(url)
    assert isinstance(failure, Failure)
    assert failure.sent


@both
def test_a_server_without_tls_where_tls_is_due_is_not_sent(send):
    with server(answers(OK)) as (url, heard):
        failure = send(url.replace("http:", "https:"))
    assert isinstance(failure, Failure)
    assert not failure.sent
    assert not heard


@both
def test_a_certificate_that_nobody_vouches_for_is_not_sent(send, tmp_path):
    certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

    def shakes_hands(connection, heard, done):
        try:
            with context.wrap_socket(connection, server_side=True) as wrapped:
                read(wrapped, heard)
        except OSError:
            return

    with server(shakes_hands) as (url, heard):
        failure = send(url.replace("http:", "https:"))
    assert isinstance(failure, Failure)
    assert not failure.sent
    assert not heard


def certificate(folder):
    """A certificate for 127.0.0.1 that signs itself."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + datetime.timedelta(days=9999))
    built = built.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
    (folder / "cert.pem").write_bytes(built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(text)


def test_over_ipv6():
    try:
        with server(answers(OK), family=socket.AF_INET6, host="::1") as (url, heard):
            assert isinstance(send_blocking(url), Reply)
    except OSError as error:
        pytest.skip(f"no IPv6 loopback here: {error}")
    assert b"Host: [::1]:" in heard[0][0]


def test_many_threads_share_a_transport():
    with Simulator(latency_ms=5) as sim:
        transport, replies = HttpTransport(sim.url, Timeouts(1.0, LIMIT_S)), []
        threads = [threading.Thread(target=lambda: replies.append(transport.send(TIME))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)
        transport.close()
    assert [reply.status for reply in replies] == [200] * 8


def test_the_scripted_double():
    scripted = ScriptedTransport(Failure(True, "reset"), answer({"ZUSD": "1"}))
    assert judge(scripted.send(TIME)).outcome is Outcome.IN_DOUBT
    assert [judge(scripted.send(TIME)).result for _ in range(2)] == [{"ZUSD": "1"}] * 2
    refusing = AsyncScriptedTransport(lambda request: answer(None, "EGeneral:Unknown method"))
    assert judge(asyncio.run(refusing.send(TIME))).outcome is Outcome.REFUSED


def test_a_call_that_is_sent_after_close_keeps_no_connection(sim):
    """Its turn came late: the client is closed by then, and nobody would close what it leaves behind."""

    async def run():
        transport = AsyncHttpTransport(sim.url, SHORT)
        await transport.send(TIME)
        await transport.close()
        assert isinstance(await transport.send(TIME), Reply)
        return transport._pool.connections

    assert asyncio.run(run()) == []
