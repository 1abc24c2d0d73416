"""Probes about pulls, POP, offsets and queries."""

from __future__ import annotations

import base64
import json
import time

from .caller import Caller, messages, properties
from .registry import probe
from .sending import BROKERS, eventually, pull_whole


def pull(c: Caller, topic: str, queue: int = 0, offset: int = 0, *, flags: int = 4, suspend: int = 0, group: str | None = None,
         commit: int = 0, expression: str = "*", kind: str = "TAG") -> dict[str, str]:
    """The ext fields of a pull; flags: 1 commit, 2 suspend, 4 subscription included, 16 lite."""
    return {**pull_whole(c, topic), "consumerGroup": group or c.name("reader"), "queueId": str(queue), "queueOffset": str(offset),
            "sysFlag": str(flags), "suspendTimeoutMillis": str(suspend), "commitOffset": str(commit), "subscription": expression,
            "expressionType": kind}


@probe("pull 11, lite pull 361")
def pulls(c: Caller) -> object:
    """What was stored on a broker comes from that broker, whole, and nothing else."""
    topic = c.topic()
    seen: dict[str, object] = {}
    for broker in BROKERS:
        for i in range(3):
            c.truth.link(broker).call(310, {**send(c, topic), "i": properties(TAGS=f"tag{i}", a=str(i))}, f"{broker} {i}".encode())
    assert eventually(lambda: c.truth.ends(topic) == {"broker-a": 3, "broker-b": 3})
    for broker in BROKERS:
        for code, lite in ((11, 0), (361, 16)):
            found = c.call(broker, code, pull(c, topic, flags=4 | lite))
            bodies = [m["body"].decode() for m in messages(found.body)]
            assert bodies == [f"{broker} {i}" for i in range(3)], f"{code} at {broker}: {bodies}"
            tagged = c.call(broker, code, pull(c, topic, flags=4 | lite, expression="tag1"))
            sql = c.call(broker, code, pull(c, topic, flags=4 | lite, expression="a > 1", kind="SQL92"))
            none = c.call(broker, code, pull(c, topic, offset=3, flags=4 | lite))
            seen[f"{broker} {code}"] = [without_suggestion(c, answer) for answer in (found, tagged, sql, none)], \
                [len(messages(answer.body)) for answer in (tagged, sql)]
    return seen


def send(c: Caller, topic: str) -> dict[str, str]:
    """The fields of a send to queue 0."""
    from .caller import send_fields
    return send_fields(topic, 0)


def without_suggestion(c: Caller, answer) -> dict[str, object]:
    """As `see`; behind Gimbal the suggested broker id must be 0."""
    if c.through_gimbal and "suggestWhichBrokerId" in answer.ext:
        assert answer.ext["suggestWhichBrokerId"] == "0", answer.ext
    return c.see(answer)


@probe("pull refused by the broker")
def pull_refused(c: Caller) -> object:
    """Unknown topic, queue out of range, group without registration, expression that does not compile."""
    topic = c.topic()
    cases = {"no topic": pull(c, c.name("none")), "bad queue": pull(c, topic, 77), "not registered": pull(c, topic, flags=0),
             "bad expression": pull(c, topic, expression="a >", kind="SQL92"), "beyond the end": pull(c, topic, offset=999)}
    return {case: c.see(c.call("broker-b", 11, fields)) for case, fields in cases.items()}


@probe("pull waits for a message")
def long_poll(c: Caller) -> object:
    """A parked pull is woken by a message, on each broker, and does not hold up other commands of the connection."""
    topic = c.topic()
    seen: dict[str, object] = {}
    for broker in BROKERS:
        link, opaque = c.begin(broker, 11, pull(c, topic, flags=6, suspend=15000))
        time.sleep(0.4)
        begin = time.monotonic()
        quick = c.call(broker, 30, {"topic": topic, "queueId": "0"})
        assert time.monotonic() - begin < 1.5, "a parked pull holds up the connection"
        c.truth.send(broker, topic, b"wake up")
        c.truth.call(broker, 310, send(c, topic), b"wake up")
        answer = link.finish(opaque, 5)
        assert time.monotonic() - begin < 4, "the parked pull was not woken"
        seen[broker] = c.see(quick), without_suggestion(c, answer)["code"], messages(answer.body)[0]["body"]
    return seen


@probe("pull waits in vain", once=True)
def long_poll_ends(c: Caller) -> object:
    """A parked pull is answered 19 when its time is over."""
    topic = c.topic()
    begin = time.monotonic()
    link, opaque = c.begin("broker-b", 11, pull(c, topic, flags=6, suspend=2000))
    answer = link.finish(opaque, 12)
    assert 1.5 < time.monotonic() - begin < 9, f"answered after {time.monotonic() - begin:.1f} s"
    return without_suggestion(c, answer)


@probe("pull by registration")
def pull_registered(c: Caller) -> object:
    """After a heartbeat the broker knows the subscription, on every broker, so a pull needs none."""
    topic, group = c.topic(), c.group()
    c.beat({group: [topic]})
    seen: dict[str, object] = {}
    for broker in BROKERS:
        c.truth.call(broker, 310, send(c, topic), b"x")
        assert eventually(lambda: c.truth.end(broker, topic) == 1)
        seen[broker] = without_suggestion(c, c.call(broker, 11, pull(c, topic, flags=1, group=group, commit=1)))
        stored = c.truth.call(broker, 14, {"consumerGroup": group, "topic": topic, "queueId": "0"})
        seen[f"{broker} committed"] = stored.code, stored.ext.get("offset")
    return seen


@probe("offsets 14, 15")
def consumer_offsets(c: Caller) -> object:
    """A commit for one broker is seen there and not at the other; one-way commits too."""
    topic, group = c.topic(), c.group()
    for broker in BROKERS:
        for _ in range(9):
            c.truth.call(broker, 310, send(c, topic), b"x")
    key = {"consumerGroup": group, "topic": topic, "queueId": "0"}
    seen: dict[str, object] = {"unknown": c.see(c.call("broker-b", 14, {**key, "queueId": "1", "setZeroIfNotFound": "false"}))}
    for n, broker in enumerate(BROKERS):
        seen[f"{broker} commit"] = c.see(c.call(broker, 15, {**key, "commitOffset": str(3 + n)}))
    for n, broker in enumerate(BROKERS):
        seen[f"{broker} query"] = c.see(c.call(broker, 14, key))
        assert c.truth.call(broker, 14, key).ext["offset"] == str(3 + n), f"the commit for {broker} is not there"
    for n, broker in enumerate(BROKERS):
        c.oneway(broker, 15, {**key, "commitOffset": str(7 + n)})
        assert eventually(lambda: c.truth.call(broker, 14, key).ext["offset"] == str(7 + n), 3), "a one-way commit is lost"
    seen["no topic"] = c.see(c.call("broker-b", 15, {**key, "topic": c.name("none"), "commitOffset": "1"}))
    return seen


@probe("offsets 29, 30, 31, 32")
def queue_offsets(c: Caller) -> object:
    """Each broker tells of its own queue."""
    topic = c.topic()
    for n, broker in enumerate(BROKERS):
        for _ in range(3 + n):
            c.truth.call(broker, 310, send(c, topic), b"x")
    assert eventually(lambda: c.truth.ends(topic) == {"broker-a": 3, "broker-b": 4})
    seen: dict[str, object] = {}
    now = int(time.time() * 1000)
    for broker in BROKERS:
        queue = {"topic": topic, "queueId": "0"}
        for when, bound in ((0, "LOWER"), (now - 3_600_000, "LOWER"), (now + 3_600_000, "LOWER"), (now + 3_600_000, "UPPER")):
            seen[f"{broker} search {when // now} {bound}"] = c.see(c.call(broker, 29, {**queue, "timestamp": str(when), "boundaryType": bound}))
        seen[f"{broker} max"], seen[f"{broker} min"] = c.see(c.call(broker, 30, queue)), c.see(c.call(broker, 31, queue))
        earliest = c.call(broker, 32, queue)
        assert abs(int(earliest.ext["timestamp"]) - now) < 600_000, earliest.ext
        seen[f"{broker} earliest"] = c.see(earliest)
        seen[f"{broker} unknown topic"] = c.see(c.call(broker, 30, {**queue, "topic": c.name("none")}))
    return seen


@probe("offset 30 without a broker name", once=True)
def detector(c: Caller) -> object:
    """The fault detector of newer producers asks for an offset and names no broker."""
    topic = c.topic()
    link = c.link(c.address("broker-b", topic))
    return c.see(link.call(30, {"topic": topic, "queueId": "0"}))


@probe("query 12")
def query(c: Caller) -> object:
    """Messages of both brokers are found by key, whichever way the client asks, and each once."""
    topic = c.topic()
    key = c.name("key")
    for broker in BROKERS:
        c.truth.call(broker, 310, {**send(c, topic), "i": properties(KEYS=key)}, broker.encode())
    now = int(time.time() * 1000)
    fields = {"topic": topic, "key": key, "maxNum": "32", "beginTimestamp": str(now - 600_000), "endTimestamp": str(now + 600_000),
              "_UNIQUE_KEY_QUERY": "false"}
    found: list[str] = []
    codes: set[int] = set()

    def all_found() -> bool:
        found.clear()
        answers = [c.call(broker, 12, fields, seconds=18) for broker in BROKERS]
        codes.clear()
        codes.update(answer.code for answer in answers)
        found.extend(m["body"].decode() for answer in answers for m in messages(answer.body))
        return set(found) == set(BROKERS)
    assert eventually(all_found, 10), f"found {found}, codes {codes}"
    assert codes <= {0, 22}, codes
    nothing = c.call("broker-a", 12, {**fields, "key": c.name("nothing")}, seconds=18)
    return sorted(set(found)), c.see(nothing)


@probe("view 33")
def view(c: Caller) -> object:
    """The address inside a message id leads to the broker that stored the message."""
    topic = c.topic()
    c.route(topic)
    seen: dict[str, object] = {}
    for broker in BROKERS:
        answer = c.send(broker, topic, f"at {broker}".encode())
        ident = answer.ext["msgId"]
        host, port = bytes.fromhex(ident[:8]), int(ident[8:16], 16)
        address = f"{'.'.join(map(str, host))}:{port}"
        if c.through_gimbal:
            assert port not in c.cluster.broker_ports(), f"the id of a message at {broker} leads past Gimbal"
        viewed = c.link(address).call(33, {"topic": topic, "offset": str(int(ident[16:], 16))})
        record = messages(viewed.body)[0]
        assert record["body"] == f"at {broker}".encode(), record
        pulled = messages(c.call(broker, 11, pull(c, topic)).body)[0]
        assert pulled["store"] == record["store"] == address, (pulled["store"], record["store"], address)
        seen[broker] = c.see(viewed)
        seen[f"{broker} nowhere"] = c.see(c.link(address).call(33, {"topic": topic, "offset": "999999999"}))["code"]
    return seen


def popped(c: Caller, broker: str, topic: str, group: str, wait: int = 0, count: int = 32, invisible: int = 30_000):
    """Pops from queue 0."""
    return c.call(broker, 200050, {
        "consumerGroup": group, "topic": topic, "queueId": "0", "maxMsgNums": str(count), "invisibleTime": str(invisible),
        "pollTime": str(wait), "bornTime": str(int(time.time() * 1000)), "initMode": "0", "expType": "TAG", "exp": "*", "order": "false"},
        seconds=wait / 1000 + 8)


def handles(c: Caller, broker: str, answer) -> list[tuple[str, int]]:
    """The handle and queue offset of every popped message, built as clients do."""
    start = int(answer.ext["startOffsetInfo"].split(";")[0].split(" ")[2])
    return [(f"{start} {answer.ext['popTime']} {answer.ext['invisibleTime']} {answer.ext['reviveQid']} 0 {broker} {m['queue']} {m['offset']}",
             int(m["offset"])) for m in messages(answer.body)]


@probe("pop, ack, change invisible, batch ack", json_only=True)
def pop(c: Caller) -> object:
    """Popped messages are acknowledged, prolonged, and acknowledged by the dozen, on the broker that holds them."""
    topic, group = c.topic(), c.group()
    seen: dict[str, object] = {}
    for broker in BROKERS:
        for i in range(4):
            c.truth.call(broker, 310, send(c, topic), f"{broker} {i}".encode())
        assert eventually(lambda: c.truth.end(broker, topic) == 4)
        answer = popped(c, broker, topic, group)
        assert [m["body"].decode() for m in messages(answer.body)] == [f"{broker} {i}" for i in range(4)], answer
        taken = handles(c, broker, answer)
        base = {"consumerGroup": group, "topic": topic, "queueId": "0"}
        ack = c.call(broker, 200051, {**base, "extraInfo": taken[0][0], "offset": str(taken[0][1])})
        change = c.call(broker, 200053, {**base, "extraInfo": taken[1][0], "offset": str(taken[1][1]), "invisibleTime": "20000"})
        bits = base64.b64encode(bytes([0b1100])).decode()
        body = {"brokerName": broker, "acks": [{"c": group, "t": topic, "r": "0", "so": int(taken[0][0].split(" ")[0]), "q": 0,
                                                "rq": int(answer.ext["reviveQid"]), "pt": int(answer.ext["popTime"]),
                                                "it": int(answer.ext["invisibleTime"]), "b": bits}]}
        batch = c.call(broker, 200151, {}, json.dumps(body).encode())
        wrong = c.call(broker, 200051, {**base, "extraInfo": taken[0][0], "offset": "999"})
        bad = c.call(broker, 200051, {**base, "queueId": "77", "extraInfo": taken[0][0], "offset": "0"})
        seen[broker] = [c.see(a) for a in (answer, ack, change, batch, wrong, bad)]
        seen[f"{broker} none"] = c.see(popped(c, broker, topic, group))
    return seen


@probe("pop waits for a message", json_only=True)
def pop_waits(c: Caller) -> object:
    """A parked POP takes the message that comes; a parked NOTIFICATION only tells of it."""
    topic, group = c.topic(), c.group()
    seen: dict[str, object] = {}
    for broker in BROKERS:
        base = {"consumerGroup": group, "topic": topic, "queueId": "0", "pollTime": "8000", "bornTime": str(int(time.time() * 1000)), "order": "false"}
        link, told = c.begin(broker, 200054, base)
        time.sleep(0.4)
        seen[f"{broker} parked"] = c.see(c.call(broker, 200055, {"consumerGroup": group, "topic": topic, "queueId": "0"}))
        c.truth.call(broker, 310, send(c, topic), b"wake up")
        notified = link.finish(told, 8)
        seen[f"{broker} notified"] = c.see(notified)
        peeked = c.call(broker, 200052, {"consumerGroup": group, "topic": topic, "queueId": "0", "maxMsgNums": "8"})
        seen[f"{broker} peeked"] = c.see(peeked), [m["body"] for m in messages(peeked.body)]
        first = popped(c, broker, topic, group)
        begin = time.monotonic()
        link, opaque = c.begin(broker, 200050, {
            **base, "maxMsgNums": "8", "invisibleTime": "30000", "initMode": "0", "expType": "TAG", "exp": "*", "bornTime": str(int(time.time() * 1000))})
        time.sleep(0.4)
        c.truth.call(broker, 310, send(c, topic), b"again")
        second = link.finish(opaque, 12)
        assert time.monotonic() - begin < 6, "the parked POP was not woken"
        seen[f"{broker} popped"] = c.see(first), [m["body"] for m in messages(second.body)], second.code
    return seen


@probe("pop codes that lost their upper half", only_gimbal=True)
def truncated(c: Caller) -> object:
    """200050 and its kin do not fit the binary header: what arrives is an unknown code, answered 3."""
    for code in (3442, 3443, 3444, 3445, 3446, 3447, 3448, 3543):
        answer = c.link(c.entry).call(code, {"topic": "x", "bname": "broker-a"})
        assert answer.code == 3, f"{code}: {answer.code} {answer.remark}"
    return "refused"
