"""Probes about sends, transactions, recalls and replies: what is answered, and where the message lands."""

from __future__ import annotations

import base64
import json
import struct
import time

from .caller import Caller, messages, properties, send_fields
from .registry import probe

BROKERS = ("broker-a", "broker-b")


def eventually(holds, seconds: float = 5) -> bool:
    """Whether something becomes true in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def batch_body(count: int) -> bytes:
    """A batch of `count` small messages."""
    body = b""
    for i in range(count):
        props = properties(UNIQ_KEY=f"7F000001{time.time_ns() % (1 << 64):016X}{i:08X}").encode()
        text = f"part {i}".encode()
        body += struct.pack(">iiiii", 22 + len(text) + len(props), 0, 0, 0, len(text)) + text + struct.pack(">h", len(props)) + props
    return body


def landing(c: Caller, topic: str, act) -> dict[str, object]:
    """What `act(broker)` answers for each broker, and how many messages each broker got by it."""
    seen: dict[str, object] = {}
    for broker in BROKERS:
        before = c.truth.ends(topic)
        answer = act(broker)
        gained: dict[str, int] = {}

        def moved() -> bool:
            after = c.truth.ends(topic)
            gained.update({name: after[name] - before[name] for name in after})
            return any(gained.values())
        eventually(moved, 2)
        other = BROKERS[1 - BROKERS.index(broker)]
        assert gained[broker] > 0 and gained[other] == 0, f"a command for {broker} landed on {gained}"
        seen[broker] = (answer, dict(gained))
    return seen


@probe("send 310")
def send_short(c: Caller) -> object:
    """SEND_MESSAGE_V2 lands on the broker it is for, in the queue it names."""
    topic = c.topic()
    return landing(c, topic, lambda broker: c.see(c.call(broker, 310, send_fields(topic, 1, properties(KEYS="k1")), b"hello")))


@probe("send 10")
def send_long(c: Caller) -> object:
    """SEND_MESSAGE, the long form."""
    topic = c.topic()
    return landing(c, topic, lambda broker: c.see(c.call(broker, 10, send_fields(topic, 0, short=False), b"hello")))


@probe("send 320")
def send_batch(c: Caller) -> object:
    """SEND_BATCH_MESSAGE with three messages: three ids."""
    topic = c.topic()

    def act(broker: str) -> object:
        answer = c.call(broker, 320, send_fields(topic, 0, batch=True), batch_body(3))
        return c.see(answer), len(answer.ext.get("msgId", "").split(","))
    return landing(c, topic, act)


@probe("send one-way")
def send_oneway(c: Caller) -> object:
    """A one-way send is stored and not answered, not even when it fails."""
    topic = c.topic()
    seen = landing(c, topic, lambda broker: c.oneway(broker, 310, send_fields(topic, 0), b"hello"))
    c.oneway("broker-a", 310, send_fields(c.name("bad name!"), 0), b"hello")
    c.oneway("broker-a", 310, send_fields(c.name("none"), 0, default="none_at_all"), b"hello")
    c.send("broker-a", topic)
    time.sleep(0.3)
    stray = [c.see(answer) for link in c.links() for answer in link.stray]
    assert not stray, f"one-way commands were answered: {stray}"
    return seen


@probe("send, queue chosen by the broker")
def send_any_queue(c: Caller) -> object:
    """A negative queue id stays what it is."""
    topic = c.topic(queues=1)
    return landing(c, topic, lambda broker: c.see(c.call(broker, 310, send_fields(topic, -1), b"hello")))


@probe("send refused by the broker")
def send_refused(c: Caller) -> object:
    """Errors of the broker come back as they are."""
    topic = c.topic()
    c.route(topic)
    cases = {"no template": send_fields(c.name("none"), 0, default="none_at_all"), "bad name": send_fields(c.name("bad name!"), 0),
             "bad queue": send_fields(topic, 77), "system topic": send_fields("SCHEDULE_TOPIC_XXXX", 0),
             "letters for a number": {**send_fields(topic, 0), "e": "x"}}
    seen: dict[str, object] = {case: c.see(c.call("broker-b", 310, fields, b"hello")) for case, fields in cases.items()}
    seen["no body"] = c.see(c.call("broker-b", 310, send_fields(topic, 0), b""))
    return seen


@probe("send creates the topic")
def send_creates(c: Caller) -> object:
    """A topic nobody made appears on the broker that got its first message."""
    topic = c.name("Auto")
    before = c.see(c.link(c.entry).call(105, {"topic": topic}))
    answer = c.see(c.call("broker-b", 310, send_fields(topic, 0), b"hello"))
    here = c.truth.end("broker-b", topic)
    assert eventually(lambda: bool(c.route(topic)), 8), "no route for the new topic"
    return before, answer, here, c.truth.end("broker-a", topic)


@probe("send 3.9 MiB")
def send_large(c: Caller) -> object:
    """A body near the broker's limit goes through; one beyond it gets the broker's refusal."""
    topic = c.topic()
    fits = c.see(c.call("broker-b", 310, send_fields(topic, 0), bytes(range(256)) * (15 * 1024 + 512)))
    over = c.see(c.call("broker-b", 310, send_fields(topic, 0), b"x" * ((4 << 20) + 1)))
    got = c.call("broker-b", 11, pull_whole(c, topic))
    return fits, over, [len(m["body"]) for m in messages(got.body)]


def pull_whole(c: Caller, topic: str) -> dict[str, str]:
    """A pull of queue 0 from its beginning, subscription included."""
    return {"consumerGroup": c.name("reader"), "topic": topic, "queueId": "0", "queueOffset": "0", "maxMsgNums": "32", "sysFlag": "4",
            "commitOffset": "0", "suspendTimeoutMillis": "0", "subscription": "*", "subVersion": "0", "expressionType": "TAG"}


def half(c: Caller, broker: str, topic: str, group: str) -> dict[str, str]:
    """Sends a half message; the fields by which its transaction ends."""
    unique = f"7F000001{time.time_ns() % (1 << 64):016X}00000001"
    props = properties(TRAN_MSG="true", PGROUP=group, UNIQ_KEY=unique)
    answer = c.call(broker, 310, send_fields(topic, 0, props, group=group, flags=4), b"half")
    assert answer.code == 0, answer.remark
    return {"producerGroup": group, "tranStateTableOffset": answer.ext["queueOffset"], "commitLogOffset": str(int(answer.ext["msgId"][-16:], 16)),
            "msgId": unique, "transactionId": answer.ext.get("transactionId", unique), "topic": topic, "fromTransactionCheck": "false"}


@probe("end transaction 37")
def end_transaction(c: Caller) -> object:
    """A commit shows the message at once on its broker, one-way as in Java and two-way as in Go; a rollback never does."""
    topic, group = c.topic(), c.name("tx")
    seen: dict[str, object] = {}
    for broker in BROKERS:
        for step, two_way in (("commit one-way", False), ("commit two-way", True)):
            before = c.truth.end(broker, topic)
            fields = {**half(c, broker, topic, group), "commitOrRollback": "8"}
            assert c.truth.end(broker, topic) == before, "a half message is visible"
            begin = time.monotonic()
            if two_way:
                seen[f"{broker} {step}"] = c.see(c.call(broker, 37, fields))
            else:
                c.oneway(broker, 37, fields)
            assert eventually(lambda: c.truth.end(broker, topic) == before + 1, 3), f"{step}: not visible within 3 s"
            assert time.monotonic() - begin < 3, f"{step}: late"
        before = c.truth.end(broker, topic)
        seen[f"{broker} rollback"] = c.see(c.call(broker, 37, {**half(c, broker, topic, group), "commitOrRollback": "12"}))
        time.sleep(0.3)
        assert c.truth.end(broker, topic) == before, "a rolled back message is visible"
        wrong = {**half(c, broker, topic, group), "commitOrRollback": "12", "tranStateTableOffset": "999999"}
        seen[f"{broker} no such half"] = c.see(c.call(broker, 37, wrong))["code"]
    return seen


@probe("recall 370", json_only=False)
def recall(c: Caller) -> object:
    """A delayed message is called back; the handle of another broker is refused."""
    topic = c.topic()
    seen: dict[str, object] = {}
    for broker in BROKERS:
        answer = c.call(broker, 310, send_fields(topic, 0, properties(TIMER_DELAY_SEC="3", UNIQ_KEY=f"{time.time_ns():032X}")), b"later")
        handle = answer.ext["recallHandle"]
        assert base64.urlsafe_b64decode(handle).decode().split(" ")[2] == broker
        request = {"topic": topic, "recallHandle": handle, "producerGroup": c.name("p")}
        seen[broker] = c.see(answer, "queueOffset"), c.see(c.call(broker, 370, request))
        other = BROKERS[1 - BROKERS.index(broker)]
        seen[f"{broker} elsewhere"] = c.see(c.call(other, 370, request))
        seen[f"{broker} nonsense"] = c.see(c.call(broker, 370, {**request, "recallHandle": "abc"}))
    return seen


@probe("reply 324, 325 and push 326")
def reply(c: Caller) -> object:
    """A reply sent to either broker reaches the requester wherever it is connected."""
    c.beat(producers=[c.name("requester")])
    replier = Caller(c.cluster, c.truth, c.entry, c.style, c.side)
    seen: dict[str, object] = {}
    try:
        for broker in BROKERS:
            for code in (324, 325):
                correlation = f"{broker}-{code}-{c.token}"
                props = properties(CORRELATION_ID=correlation, REPLY_TO_CLIENT=c.id, TTL="3000", MSG_TYPE="reply")
                fields = send_fields("DefaultCluster_REPLY_TOPIC", 0, props, short=code == 325)
                link, opaque = replier.begin(broker, code, fields, b"the reply")
                arrived, push = c.push(326)
                assert f"CORRELATION_ID\x01{correlation}" in push.ext["properties"], push.ext
                arrived.answer(push)
                answer = link.finish(opaque, 8)
                seen[f"{broker} {code}"] = c.see(answer, "queueOffset"), sorted(push.ext), push.body, push.flag
        nobody = properties(CORRELATION_ID="x", REPLY_TO_CLIENT="nobody", TTL="3000", MSG_TYPE="reply")
        seen["nobody"] = c.see(replier.call("broker-b", 325, send_fields("DefaultCluster_REPLY_TOPIC", 0, nobody), b"x"), "queueOffset")
    finally:
        replier.close()
    return seen


@probe("transaction check 39")
def check(c: Caller) -> object:
    """A silent producer is asked; its answer ends the transaction on the broker that asked."""
    topic, group = c.topic(), c.name("txc")
    c.beat(producers=[group])
    seen: dict[str, object] = {}
    for broker in BROKERS:
        halves = half(c, broker, topic, group)
        link, push = c.push(39, 20)
        record = messages(push.body)[0]
        assert push.ext["msgId"] == halves["msgId"] and record["body"] == b"half", push.ext
        assert push.ext.get("bname") == broker, f"the check came without the name of {broker}: {push.ext}"
        ext = {"producerGroup": group, "tranStateTableOffset": push.ext["tranStateTableOffset"], "commitLogOffset": push.ext["commitLogOffset"],
               "msgId": push.ext["msgId"], "transactionId": push.ext["transactionId"], "commitOrRollback": "8", "fromTransactionCheck": "true"}
        if c.style.names_broker:
            ext["bname"] = push.ext["bname"]
        if c.style.language == "GO":
            ext["bname"] = ""
        link.oneway(37, ext)
        assert eventually(lambda: c.truth.end(broker, topic) == 1, 5), f"the checked message of {broker} is not visible"
        seen[broker] = sorted(push.ext), push.flag, record["topic"].replace(c.token, "*")
    return seen


@probe("send to port - 2")
def vip(c: Caller) -> object:
    """Clients of the 4.4 age send to the port two below: every code is served there."""
    topic = c.topic()
    c.route(topic)
    seen = {}
    for broker in BROKERS:
        host, port = c.address(broker, topic).rsplit(":", 1)
        link = c.link(f"{host}:{int(port) - 2}")
        answer = link.call(310, c.ext(broker, 310, send_fields(topic, 0)), b"hello")
        assert c.truth.end(broker, topic) == 1, f"not on {broker}"
        group = {"consumerGroup": c.name("vip"), "topic": topic, "queueId": "0"}
        stored = link.call(15, c.ext(broker, 15, {**group, "commitOffset": "1"}))
        seen[broker] = c.see(answer), c.see(stored), c.see(link.call(14, c.ext(broker, 14, group))), json.dumps(c.truth.call(broker, 14, group).ext)
    return seen
