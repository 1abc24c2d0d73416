"""What brokers see of clients behind Gimbal, and TLS towards them."""

from __future__ import annotations

import json
import re
import time

from .clients import Result
from .field import Field
from .tools import mqadmin
from .wire import Connection

# RocketMQ's servers show a self-signed certificate until they are given another.
SETTINGS = """
[upstream]
proxy_protocol = "v2"
born_host = true

[upstream.tls]
enabled = true
verify = "none"
"""
# Another address of this machine, which a client behind Gimbal comes from.
ELSEWHERE = "127.0.0.7"
LIVE_CLIENT = "5.5.0"


def client_seen(f: Field) -> None:
    """Brokers see the real address of clients behind Gimbal, under TLS that the clients do not speak; messages carry it too."""
    if not f.binary:
        return
    gimbal = f.gimbal("seen", settings=SETTINGS).start()
    topic, group = f"seen{int(time.time())}", f"seen_group{int(time.time())}"
    f.cluster.create_topic(topic)
    link = Connection(gimbal.address, source=ELSEWHERE)
    try:
        ours = f"{ELSEWHERE}:{link.local_port()}"
        register(link, topic, group)
        f.table.put("client seen: __BORNHOST", "raw", "gimbal", born_host(f, link, topic, ours))
        for words in (["consumerConnection", "-g", group], ["producerConnection", "-g", group, "-t", topic]):
            output = mqadmin(f, f.cluster.nameserver, *words)
            shown = re.findall(r"\d+\.\d+\.\d+\.\d+:\d+", output)
            result: Result = {"ok": ours in shown, "why": f"{words[0]} shows {shown}, not {ours}", "log": str(f.work / "logs" / "mqadmin.log")}
            f.table.put(f"client seen: {words[0]}", "raw", "gimbal", result)
    finally:
        link.close()
    begun = {(LIVE_CLIENT, "gimbal"): f.begin(LIVE_CLIENT, "gimbal", gimbal.address, [scenario], limit=200) for scenario in ("sync",)}
    f.finish("client seen: sync over TLS", begun)
    batches = {(LIVE_CLIENT, "gimbal"): f.begin(LIVE_CLIENT, "gimbal", gimbal.address, ["batch"], limit=200)}
    f.finish("client seen: batch over TLS", batches)
    if complaint := gimbal.complaint():
        raise AssertionError(complaint)


def register(link: Connection, topic: str, group: str) -> None:
    """Makes the brokers know a producer and a consumer, as a client's heartbeat does."""
    beat = {"clientID": f"{ELSEWHERE}@suite", "producerDataSet": [{"groupName": group}], "consumerDataSet": [
        {"groupName": group, "consumeType": "CONSUME_PASSIVELY", "messageModel": "CLUSTERING", "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
         "unitMode": False, "subscriptionDataSet": [{"topic": topic, "subString": "*", "tagsSet": [], "codeSet": [], "subVersion": 1,
                                                     "expressionType": "TAG", "classFilterMode": False}]}]}
    link.call(105, {"topic": topic, "acceptStandardJsonOnly": "true"})
    answer = link.call(34, {}, json.dumps(beat).encode())
    assert answer.code == 0, answer.remark


def born_host(f: Field, link: Connection, topic: str, ours: str) -> Result:
    """Sends a message that claims another origin, and reads it where it is stored."""
    forged = "TAGS\x01x\x02__BORNHOST\x016.6.6.6:6\x02"
    fields = {"a": "suite", "b": topic, "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": str(int(time.time() * 1000)), "h": "0", "i": forged,
              "j": "0", "k": "false", "m": "false", "n": "broker-a"}
    sent = link.call(310, fields, b"whose?")
    if sent.code != 0:
        return {"ok": False, "why": f"the send is answered {sent.code}: {sent.remark}"}
    direct = Connection(f.cluster.masters()["broker-a"])
    try:
        pull = {"consumerGroup": "suite_reader", "topic": topic, "queueId": "0", "queueOffset": "0", "maxMsgNums": "8", "sysFlag": "4",
                "commitOffset": "0", "suspendTimeoutMillis": "0", "subVersion": "0", "subscription": "*"}
        stored = direct.call(11, pull).body
    finally:
        direct.close()
    found = re.findall(rb"__BORNHOST\x01([^\x02]*)", stored)
    return {"ok": found == [ours.encode()], "why": f"stored with {found}, not {ours}"}
