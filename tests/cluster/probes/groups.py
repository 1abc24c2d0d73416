"""Probes about groups: heartbeats, membership, locks, send-backs, assignments, and what brokers push."""

from __future__ import annotations

import json
import time

from .caller import Caller, messages, send_fields
from .registry import probe
from .sending import BROKERS, eventually


def other(c: Caller) -> Caller:
    """A second client beside this one."""
    return Caller(c.cluster, c.truth, c.entry, c.style, c.side)


@probe("heartbeat 34, members 38, unregister 35, push 40")
def membership(c: Caller) -> object:
    """A heartbeat registers at every broker, the others hear of it at once, and likewise of the end."""
    topic, group = c.topic(), c.group()
    seen: dict[str, object] = {}
    answers = c.beat({group: [topic]}, [c.name("p")])
    for broker, answer in answers.items():
        view = c.see(answer)
        view["ext"].pop("IS_SUPPORT_HEART_BEAT_V2", None)  # type: ignore[union-attr]
        seen[f"{broker} beat"] = view
        if c.through_gimbal:
            assert "IS_SUPPORT_HEART_BEAT_V2" not in answer.ext, "short heartbeats cannot work through one address"
    assert eventually(lambda: all(ids == [c.id] for ids in c.truth.members(group).values())), c.truth.members(group)
    second = other(c)
    try:
        begin = time.monotonic()
        second.beat({group: [topic]})
        _, push = c.push(40)
        seen["told"] = time.monotonic() - begin < 2, {k: v.replace(c.token, "*") for k, v in push.ext.items()}, push.flag
        assert eventually(lambda: all(len(ids) == 2 for ids in c.truth.members(group).values())), c.truth.members(group)
        for broker in BROKERS:
            listed = c.call(broker, 38, {"consumerGroup": group})
            assert sorted(json.loads(listed.body)["consumerIdList"]) == sorted([c.id, second.id]), listed.body
            seen[f"{broker} list"] = c.see(listed)
        time.sleep(0.3)
        drop_pushes(c)
        for broker in BROKERS:
            seen[f"{broker} unregister"] = c.see(second.call(broker, 35, {"clientID": second.id, "consumerGroup": group}))
        c.push(40)
        assert eventually(lambda: all(ids == [c.id] for ids in c.truth.members(group).values())), c.truth.members(group)
    finally:
        second.close()
    third = other(c)
    third.beat({group: [topic]})
    assert eventually(lambda: all(len(ids) == 2 for ids in c.truth.members(group).values()))
    drop_pushes(c)
    third.close()
    c.push(40, 3)
    assert eventually(lambda: all(ids == [c.id] for ids in c.truth.members(group).values()), 3), "a closed client stays listed"
    seen["no group"] = c.see(c.call("broker-b", 38, {"consumerGroup": c.name("none")}))
    return seen


def drop_pushes(c: Caller) -> None:
    """Forgets the pushes so far."""
    for link in c.links():
        while not link.pushes.empty():
            link.pushes.get_nowait()


@probe("check config 46")
def check_config(c: Caller) -> object:
    """Subscriptions are compiled by a broker of the topic."""
    topic = c.topic()
    c.route(topic)
    seen = {}
    for case, kind, text in (("tags", "TAG", "a || b"), ("sql", "SQL92", "a > 5"), ("nonsense", "SQL92", "a > > 5")):
        body = {"clientId": c.id, "group": c.name("G"), "subscriptionData": {
            "topic": topic, "subString": text, "expressionType": kind, "subVersion": 1, "classFilterMode": False, "tagsSet": [], "codeSet": []}}
        answer = c.see(c.call("broker-b", 46, body=json.dumps(body).encode()))
        answer["remark"] = bool(answer["remark"])
        seen[case] = answer
    return seen


@probe("assignment 400")
def assignment(c: Caller) -> object:
    """A broker assigns all queues of the topic to the only member, in the brokers' own names."""
    topic, group = c.topic(), c.group()
    c.beat({group: [topic]})
    assert eventually(lambda: all(c.truth.members(group).values()))
    body = {"topic": topic, "consumerGroup": group, "clientId": c.id, "strategyName": "AVG", "messageModel": "CLUSTERING"}
    seen = {}
    for broker in BROKERS:
        answer = c.call(broker, 400, body=json.dumps(body).encode())
        queues = sorted((a["messageQueue"]["brokerName"], a["messageQueue"]["queueId"], a["mode"])
                        for a in json.loads(answer.body)["messageQueueAssignments"] or [])
        seen[broker] = c.see(answer), queues
    return seen


@probe("locks 41, 42")
def locks(c: Caller) -> object:
    """A queue locked for one client is not given to another, at the broker in the body."""
    topic, group = c.topic(), c.group()

    def request(client: str, broker: str) -> bytes:
        return json.dumps({"clientId": client, "consumerGroup": group, "onlyThisBroker": False,
                           "mqSet": [{"brokerName": broker, "queueId": 0, "topic": topic}]}).encode()
    seen = {}
    for broker in BROKERS:
        begin = time.monotonic()
        mine = c.call(broker, 41, body=request(c.id, broker))
        assert time.monotonic() - begin < 1, "the lock took longer than clients wait"
        theirs = c.truth.call(broker, 41, {}, request("stranger", broker))
        elsewhere = c.truth.call(BROKERS[1 - BROKERS.index(broker)], 41, {}, request("stranger", broker))
        assert json.loads(mine.body)["lockOKMQSet"] and not json.loads(theirs.body)["lockOKMQSet"], f"the lock is not at {broker}"
        assert json.loads(elsewhere.body)["lockOKMQSet"], f"the lock is at the other broker too"
        seen[f"{broker} lock"] = c.see(mine)
        seen[f"{broker} unlock"] = c.see(c.call(broker, 42, body=request(c.id, broker)))
        assert json.loads(c.truth.call(broker, 41, {}, request("stranger", broker)).body)["lockOKMQSet"], "still locked"
        c.truth.call(broker, 42, {}, request("stranger", broker))
        c.call(broker, 41, body=request(c.id, broker))
        c.oneway(broker, 42, body=request(c.id, broker))
        assert eventually(lambda: bool(json.loads(c.truth.call(broker, 41, {}, request("stranger", broker)).body)["lockOKMQSet"]), 3)
    return seen


@probe("send back 36")
def send_back(c: Caller) -> object:
    """A message given up goes to the dead letters of the broker that holds it."""
    topic, group = c.topic(), c.group()
    c.beat({group: [topic]})
    seen = {}
    for n, broker in enumerate(BROKERS):
        answer = c.truth.call(broker, 310, send_fields(topic, 0), f"give up {broker}".encode())
        base = {"offset": str(int(answer.ext["msgId"][-16:], 16)), "group": group, "originTopic": topic, "unitMode": "false"}
        before = c.truth.end(broker, f"%DLQ%{group}")
        seen[f"{broker} dead"] = c.see(c.call(broker, 36, {**base, "delayLevel": "-1", "maxReconsumeTimes": "16"}))
        assert eventually(lambda: c.truth.end(broker, f"%DLQ%{group}") == before + 1), f"no dead letter at {broker}"
        if n == 0:
            assert c.truth.end(BROKERS[1], f"%DLQ%{group}") == 0, "a dead letter at the wrong broker"
        seen[f"{broker} later"] = c.see(c.call(broker, 36, {**base, "delayLevel": "1", "maxReconsumeTimes": "16"}))
        assert eventually(lambda: c.truth.end(broker, f"%RETRY%{group}") == 1, 8), f"no retry at {broker}"
        seen[f"{broker} nowhere"] = c.see(c.call(broker, 36, {**base, "offset": "999999999", "delayLevel": "0"}))["code"]
    return seen


def answers_to_pushes(c: Caller, code: int, requests: dict[str, tuple[int, dict[str, str], bytes]]) -> dict[str, object]:
    """Makes both brokers push at the same time; each must get the answer meant for it. The pushes tell themselves apart by `mark`."""
    opaques = {broker: c.truth.link(broker).begin(admin, ext, body) for broker, (admin, ext, body) in requests.items()}
    seen: dict[str, object] = {}
    waiting = []
    for _ in requests:
        link, push = c.push(code, 8)
        waiting.append((link, push))
    numbers = {(id(link), push.opaque) for link, push in waiting}
    assert len(numbers) == len(waiting), "two pushes under one number"
    for link, push in reversed(waiting):
        mark = push.ext.get("jstackEnable") or push.ext.get("brokerName") or push.ext.get("mark") or push.ext.get("topic", "")
        link.answer(push, 0, {}, json.dumps({"mark": mark}).encode())
        seen[f"push {mark.replace(c.token, '*')}"] = sorted(push.ext), push.flag, bool(push.body)
    for broker, opaque in opaques.items():
        answer = c.truth.link(broker).finish(opaque, 10)
        seen[broker] = answer.code, answer.body.decode().replace(c.token, "*")
    return seen


@probe("push 307 from two brokers at once")
def running_info(c: Caller) -> object:
    """Both brokers ask for running info together, under numbers that may be equal; each gets its own answer."""
    topic, group = c.topic(), c.group()
    c.beat({group: [topic]})
    assert eventually(lambda: all(c.truth.members(group).values()))
    base = {"consumerGroup": group, "clientId": c.id}
    seen = {}
    for turn in range(5):
        seen[str(turn)] = answers_to_pushes(c, 307, {
            "broker-a": (307, {**base, "jstackEnable": "true"}, b""), "broker-b": (307, {**base, "jstackEnable": "false"}, b"")})
        assert seen[str(turn)]["broker-a"][1] == '{"mark": "true"}', seen  # type: ignore[index]
        assert seen[str(turn)]["broker-b"][1] == '{"mark": "false"}', seen  # type: ignore[index]
    return seen


@probe("push 309")
def consume_directly(c: Caller) -> object:
    """A broker hands a stored message to one consumer and gets its verdict."""
    topic, group = c.topic(), c.group()
    c.beat({group: [topic]})
    assert eventually(lambda: all(c.truth.members(group).values()))
    seen = {}
    for broker in BROKERS:
        stored = c.truth.call(broker, 310, send_fields(topic, 0), f"take {broker}".encode())
        opaque = c.truth.link(broker).begin(309, {"consumerGroup": group, "clientId": c.id, "msgId": stored.ext["msgId"], "brokerName": broker,
                                                  "topic": topic})
        link, push = c.push(309)
        record = messages(push.body)[0]
        assert record["body"] == f"take {broker}".encode(), record
        if c.through_gimbal:
            assert int(str(record["store"]).rsplit(":", 1)[1]) not in c.cluster.broker_ports(), "the message leads past Gimbal"
        verdict = {"order": False, "autoCommit": True, "consumeResult": "CR_SUCCESS", "remark": broker, "spentTimeMills": 3}
        link.answer(push, 0, {}, json.dumps(verdict).encode())
        answer = c.truth.link(broker).finish(opaque, 10)
        assert json.loads(answer.body)["remark"] == broker, answer.body
        seen[broker] = sorted(push.ext), push.flag, answer.code
    return seen


@probe("push 221")
def consumer_status(c: Caller) -> object:
    """A broker asks a consumer where it stands."""
    topic, group = c.topic(), c.group()
    c.beat({group: [topic]})
    assert eventually(lambda: all(c.truth.members(group).values()))
    seen = {}
    for n, broker in enumerate(BROKERS):
        opaque = c.truth.link(broker).begin(223, {"topic": topic, "group": group, "clientAddr": ""})
        link, push = c.push(221)
        body = '{"messageQueueTable":{{"brokerName":"%s","queueId":0,"topic":"%s"}:%d},"consumerTable":{}}' % (broker, topic, 7 + n)
        link.answer(push, 0, {}, body.encode())
        answer = c.truth.link(broker).finish(opaque, 10)
        assert f":{7 + n}" in answer.body.decode(), answer.body
        seen[broker] = sorted(push.ext), push.flag, answer.code
    return seen


@probe("push 220")
def reset(c: Caller) -> object:
    """A reset reaches the live consumer of the broker that was told."""
    topic, group = c.topic(), c.group()
    c.beat({group: [topic]})
    assert eventually(lambda: all(c.truth.members(group).values()))
    seen = {}
    for broker in BROKERS:
        for _ in range(2):
            c.truth.call(broker, 310, send_fields(topic, 0), b"x")
        c.truth.call(broker, 25, {}, b"useServerSideResetOffset=false")
        try:
            key = {"consumerGroup": group, "topic": topic}
            for queue in ("0", "1"):
                c.truth.call(broker, 15, {**key, "queueId": queue, "commitOffset": "2" if queue == "0" else "0"})
            told = c.truth.call(broker, 222, {"topic": topic, "group": group, "timestamp": "0", "isForce": "true"})
            _, push = c.push(220)
        finally:
            c.truth.call(broker, 25, {}, b"useServerSideResetOffset=true")
        assert f'"{broker}"'.encode() in push.body, push.body
        seen[broker] = told.code, {k: v.replace(c.token, "*") for k, v in push.ext.items() if k != "timestamp"}, push.flag, \
            c.scrub(push.body.decode())
    return seen
