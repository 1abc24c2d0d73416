"""Probes about routes, refusals, malformed input and brokers that do not answer."""

from __future__ import annotations

import json
import signal
import socket
import struct
import time

from harness.wire import Command, Connection

from .caller import Caller, parse_route, send_fields
from .consuming import pull
from .registry import probe
from .sending import BROKERS


@probe("route 105")
def route(c: Caller) -> object:
    """A route keeps everything but its addresses, shows masters only, and is the same at every poll."""
    topic = c.topic(queues=3)
    answer = c.link(c.entry).call(105, {"topic": topic})
    again = c.link(c.entry).call(105, {"topic": topic})
    assert answer.body == again.body, "the route changed between two polls"
    data = parse_route(answer.body)
    addresses = {broker["brokerName"]: broker["brokerAddrs"]["0"] for broker in data["brokerDatas"]}  # type: ignore[attr-defined]
    assert set(addresses) == set(BROKERS), addresses
    if c.through_gimbal:
        shared = c.style.names_broker
        assert all((address == c.entry) is shared for address in addresses.values()), f"{addresses} for a client at {c.entry}"
        assert shared or len(set(addresses.values())) == 2, addresses
    for broker in data["brokerDatas"]:  # type: ignore[attr-defined]
        if c.through_gimbal:
            assert list(broker["brokerAddrs"]) == ["0"], "slaves are not hidden"
        broker["brokerAddrs"] = {"0": "ADDRESS"}
    return c.see(answer), data


@probe("route dialects", once=True)
def dialects(c: Caller) -> object:
    """Bare integer keys for clients before 4.9.4, strict JSON for later ones and for who asks."""
    topic = c.topic()
    seen = {}
    for version, ext in ((399, {}), (401, {}), (399, {"acceptStandardJsonOnly": "true"}), (513, {})):
        link = Connection(c.entry, version=version)
        body = link.call(105, {"topic": topic, **ext}).body
        link.close()
        seen[f"{version} {ext}"] = b"{0:" in body, b'{"0":' in body
    return seen


@probe("route of topics without one")
def no_route(c: Caller) -> object:
    """Unknown topics: 17 with the name server's words; the template topic has a route."""
    link = c.link(c.entry)
    template = parse_route(link.call(105, {"topic": "TBW102"}).body)
    names = sorted(queue["brokerName"] for queue in template["queueDatas"])  # type: ignore[attr-defined]
    return c.see(link.call(105, {"topic": c.name("none")})), names, c.see(link.call(105, {"topic": ""}))["code"]


ADMIN = [17, 18, 21, 25, 26, 28, 43, 45, 100, 103, 104, 200, 201, 202, 203, 204, 205, 206, 207, 208, 215, 216, 222, 223, 224, 300, 304,
         308, 314, 318, 319, 327, 328, 351, 352, 353, 401, 3001, 3002, 3006]


@probe("admin codes are refused", only_gimbal=True)
def refused(c: Caller) -> object:
    """Code 3, with a remark that names the setting; and nothing when one-way."""
    link = c.link(c.entry)
    for code in ADMIN:
        answer = link.call(code, {"topic": "x", "bname": "broker-a"})
        assert answer.code == 3, f"{code}: {answer.code} {answer.remark}"
        # What only brokers send to a name server is never let through, so there is no setting to name.
        assert code in (103, 104) or "allow" in (answer.remark or "").lower(), f"{code}: the remark names no setting: {answer.remark}"
    port = c.link(c.address("broker-b"))
    assert port.call(25, {}, b"x=y").code == 3
    unknown = link.call(32000, {})
    assert unknown.code == 3, unknown
    for code in (17, 32000):
        link.oneway(code, {"topic": "x"})
    time.sleep(0.2)
    assert not link.stray, link.stray
    return c.see(unknown)["code"]


@probe("malformed input closes the connection", once=True)
def malformed(c: Caller) -> object:
    """What cannot be framed or decoded ends that connection and no other."""
    good = Command(105, {"topic": "TBW102"}, opaque=1).encode()
    header = b'{"code":105,"flag":0,"opaque":1'
    cases = {
        "negative length": struct.pack(">i", -5) + b"x" * 32,
        "too long": struct.pack(">i", (16 << 20) + 100) + b"x" * 32,
        "header longer than the frame": struct.pack(">II", 20, 1000) + b"x" * 40,
        "unknown type": struct.pack(">II", 4 + len(header), 7 << 24 | len(header)) + header,
        "broken JSON": struct.pack(">II", 4 + len(header), len(header)) + header,
        "JSON null": struct.pack(">II", 8, 4) + b"null",
        "short binary header": struct.pack(">II", 8, 1 << 24 | 4) + b"\0\1\0\2",
        "binary lengths that lie": struct.pack(">II", 4 + 21, 1 << 24 | 21) + struct.pack(">hBhiiii", 105, 0, 1, 1, 0, 9999, 0),
    }
    host, port = c.entry.rsplit(":", 1)
    seen = {}
    for case, data in cases.items():
        with socket.create_connection((host, int(port)), timeout=5) as raw:
            raw.sendall(data)
            raw.settimeout(4)
            try:
                seen[case] = "closed" if raw.recv(4096) == b"" else "answered"
            except TimeoutError:
                seen[case] = "silence"
            except ConnectionError:
                seen[case] = "closed"
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        for byte in range(0, len(good), 7):
            raw.sendall(good[byte:byte + 7])
        assert raw.recv(4096), "a frame in small pieces was not answered"
    assert c.link(c.entry).call(105, {"topic": "TBW102"}).code == 0
    return seen


@probe("odd but legal headers", once=True)
def odd(c: Caller) -> object:
    """Missing ext fields, numbers as values, unknown keys, empty remarks, escaped text: read as the reference reads them."""
    topic = c.topic()
    c.route(topic)
    address = c.address("broker-b", topic)

    def raw(text: str, body: bytes = b"") -> object:
        header = text.encode()
        link = c.link(address)
        link._waiting[77] = waiting = __import__("queue").Queue()  # the raw frame brings its own number
        link.send(struct.pack(">II", 4 + len(header) + len(body), len(header)) + header + body)
        answer = waiting.get(timeout=5)
        del link._waiting[77]
        return c.see(answer)
    name = json.dumps("broker-b")
    common = '"flag":0,"opaque":77,"language":"JAVA","version":513'
    return {
        "numbers": raw(f'{{"code":30,{common},"extFields":{{"topic":"{topic}","queueId":1,"committed":true,"bname":{name}}}}}'),
        "unknown keys": raw(f'{{"x":[1,{{"y":null}}],"code":30,{common},"remark":"","extFields":{{"topic":"{topic}","queueId":"0","bname":{name}}}}}'),
        "no language": raw(f'{{"code":30,"flag":0,"opaque":77,"version":513,"extFields":{{"topic":"{topic}","queueId":"0","bname":{name}}}}}'),
        "escapes": raw(f'{{"code":30,{common},"extFields":{{"topic":"{topic}","queueId":"\\u0030","bname":"broker\\u002db"}}}}'),
        "spaces": raw(f' {{ "code" : 30 , {common}, "extFields" : {{ "topic" : "{topic}", "queueId" : "0" , "bname" : {name} }} }} '),
    }


@probe("unknown broker name", only_gimbal=True, once=True)
def unknown_broker(c: Caller) -> object:
    """Never the name server, never a guess: an error the client understands, in time."""
    topic = c.topic()
    link = c.link(c.entry)
    begin = time.monotonic()
    sent = link.call(310, {**send_fields(topic, 0), "n": "broker-zzz"}, b"x")
    pulled = link.call(11, {**pull(c, topic), "bname": "broker-zzz"})
    asked = link.call(30, {"topic": topic, "queueId": "0", "bname": "broker-zzz"})
    assert sent.code == 14, (sent.code, sent.remark)
    assert pulled.code not in (0, 3, 19, 20, 21, 215) and asked.code not in (0, 3), (pulled.code, asked.code)
    assert sum(c.truth.ends(topic).values()) == 0, "the send landed somewhere"
    assert time.monotonic() - begin < 9, "too slow"
    return sent.code


def two_way(c: Caller, topic: str) -> dict[str, tuple[int, dict[str, str], bytes, float]]:
    """Commands for a frozen broker, and the seconds within which each must be answered."""
    key = {"consumerGroup": c.name("G"), "topic": topic, "queueId": "0"}
    lock = json.dumps({"clientId": c.id, "consumerGroup": c.name("G"), "mqSet": [{"brokerName": "broker-b", "queueId": 0, "topic": topic}]}).encode()
    now = str(int(time.time() * 1000))
    pop = {**key, "maxMsgNums": "1", "invisibleTime": "30000", "pollTime": "1000", "bornTime": now, "initMode": "0", "order": "false"}
    return {
        "send": (310, send_fields(topic, 0), b"x", 3), "batch": (320, send_fields(topic, 0, batch=True), b"x", 3),
        "lock": (41, {}, lock, 1), "query offset": (14, key, b"", 5), "commit": (15, {**key, "commitOffset": "0"}, b"", 5),
        "max": (30, {"topic": topic, "queueId": "0"}, b"", 5), "send back": (36, {"group": c.name("G"), "offset": "0", "delayLevel": "0"}, b"", 5),
        "pull": (11, pull(c, topic), b"", 30), "pop": (200050, pop, b"", 11), "ack": (200051, {**key, "extraInfo": "0 0 0 0 0 broker-b 0 0", "offset": "0"}, b"", 3),
        "peek": (200052, {**key, "maxMsgNums": "1"}, b"", 3),
    }


def frozen(c: Caller) -> dict[str, object]:
    """Every two-way command is answered in time although the broker is silent; other brokers are served meanwhile."""
    topic = c.topic()
    c.route(topic)
    c.call("broker-b", 30, {"topic": topic, "queueId": "0"})
    process = next(b for b in c.cluster.brokers.values() if b.name == "broker-b").process
    assert process is not None
    process.send(signal.SIGSTOP)
    seen: dict[str, object] = {}
    try:
        waiting = []
        for name, (code, ext, body, limit) in two_way(c, topic).items():
            link, opaque = c.begin("broker-b", code, ext, body)
            waiting.append((name, link, opaque, time.monotonic(), limit))
        begin = time.monotonic()
        healthy = c.call("broker-a", 310, send_fields(topic, 0), b"x")
        assert healthy.code == 0 and time.monotonic() - begin < 2, "the other broker is held up"
        for name, link, opaque, begin, limit in sorted(waiting, key=lambda w: w[4]):
            answer = link.finish(opaque, max(0.3, limit - (time.monotonic() - begin)))
            seen[name] = answer.code
            assert answer.code not in (0, 3, 19, 20, 21, 215), f"{name}: {answer.code}"
        assert seen["send"] == 14 and seen["batch"] == 14, seen
    finally:
        process.send(signal.SIGCONT)
    time.sleep(0.5)
    assert c.call("broker-b", 310, send_fields(topic, 0), b"after").code == 0, "the broker that came back is not served"
    return seen
