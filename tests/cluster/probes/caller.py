"""A raw client in one of several styles, and the truth as the brokers themselves tell it."""

from __future__ import annotations

import itertools
import json
import re
import struct
import time
from dataclasses import dataclass

from harness.servers import Cluster
from harness.wire import Command, Connection

SHORT_NAME = {310, 320, 325}
NAMED = {10, 11, 14, 15, 29, 30, 31, 32, 36, 37, 324, 361, 370, 200050, 200051, 200052, 200053, 200054, 200055} | SHORT_NAME
STABLE = {"queueId", "queueOffset", "offset", "nextBeginOffset", "minOffset", "maxOffset", "TRACE_ON", "MSG_REGION", "hasMsg",
          "pollingFull", "pollingNum", "restNum", "topicSysFlag", "groupSysFlag", "IS_SUB_CHANGE", "order", "invisibleTime"}
tokens = itertools.count(1)


@dataclass(frozen=True)
class Style:
    """A kind of client: what it calls itself, and whether its commands name their broker."""

    name: str
    language: str
    version: int
    names_broker: bool
    binary: bool


STYLES = [
    Style("names broker, JSON", "JAVA", 513, True, False),
    Style("names broker, binary", "JAVA", 513, True, True),
    Style("no name, JSON", "JAVA", 401, False, False),
    Style("no name, binary", "JAVA", 401, False, True),
    Style("Go", "GO", 317, False, False),
]


class Truth:
    """Direct connections to the masters, for what only they know."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._links: dict[str, Connection] = {}

    def call(self, broker: str, code: int, ext: dict[str, str] | None = None, body: bytes = b"", seconds: float = 10) -> Command:
        """A command to the master named."""
        return self.link(broker).call(code, ext, body, seconds)

    def link(self, broker: str) -> Connection:
        """The connection to the master named."""
        link = self._links.get(broker)
        if link is None or link.closed.is_set():
            self._links[broker] = link = Connection(self.cluster.masters()[broker])
        return link

    def end(self, broker: str, topic: str, queue: int = 0) -> int:
        """The offset behind the last message of a queue."""
        answer = self.call(broker, 30, {"topic": topic, "queueId": str(queue), "committed": "false"})
        return int(answer.ext.get("offset", "0"))

    def ends(self, topic: str, queues: int = 2) -> dict[str, int]:
        """How many messages each broker holds in a topic."""
        return {name: sum(self.end(name, topic, queue) for queue in range(queues)) for name in ("broker-a", "broker-b")}

    def members(self, group: str) -> dict[str, list[str]]:
        """The client ids that each broker knows in a consumer group."""
        found = {}
        for name in ("broker-a", "broker-b"):
            answer = self.call(name, 38, {"consumerGroup": group})
            found[name] = sorted(json.loads(answer.body)["consumerIdList"]) if answer.code == 0 else []
        return found

    def send(self, broker: str, topic: str, body: bytes, queue: int = 0, properties: str = "") -> Command:
        """A message stored directly."""
        return self.call(broker, 310, send_fields(topic, queue, properties))


def send_fields(topic: str, queue: int, properties: str = "", *, short: bool = True, batch: bool = False, group: str = "probes",
                default: str = "TBW102", flags: int = 0) -> dict[str, str]:
    """The ext fields of a send, in the short form (310, 320, 325) or the long one (10, 324)."""
    values = [group, topic, default, "4", str(queue), str(flags), str(int(time.time() * 1000)), "0", properties, "0", "false", "0",
              "true" if batch else "false"]
    names = "abcdefghijklm" if short else [
        "producerGroup", "topic", "defaultTopic", "defaultTopicQueueNums", "queueId", "sysFlag", "bornTimestamp", "flag", "properties",
        "reconsumeTimes", "unitMode", "maxReconsumeTimes", "batch"]
    return {name: value for name, value in zip(names, values) if value != ""}


def properties(**pairs: str) -> str:
    """A properties string."""
    return "".join(f"{key}\x01{value}\x02" for key, value in pairs.items())


class Caller:
    """One raw client: it asks `entry` for routes and dials what they say."""

    def __init__(self, cluster: Cluster, truth: Truth, entry: str, style: Style, side: str) -> None:
        self.cluster, self.truth, self.entry, self.style, self.side = cluster, truth, entry, style, side
        self.token = f"P{next(tokens):05d}Z{int(time.time()) % 100000:05d}"
        self.id = f"127.0.0.1@{self.token}"
        self._links: dict[str, Connection] = {}

    @property
    def through_gimbal(self) -> bool:
        """Whether this client stands behind Gimbal."""
        return self.side == "gimbal"

    def name(self, what: str) -> str:
        """A topic or group name of this client's own."""
        return f"{what}_{self.token}"

    def topic(self, what: str = "T", queues: int = 2) -> str:
        """A fresh topic on both brokers."""
        self.cluster.create_topic(self.name(what), queues)
        return self.name(what)

    def group(self, what: str = "G") -> str:
        """A fresh consumer group on both brokers."""
        self.cluster.create_group(self.name(what))
        return self.name(what)

    def link(self, address: str) -> Connection:
        """The one connection to an address, opened when needed."""
        link = self._links.get(address)
        if link is None or link.closed.is_set():
            self._links[address] = link = Connection(address, self.style.language, self.style.version, self.style.binary)
        return link

    def route(self, topic: str, **ext: str) -> dict[str, object]:
        """The route of a topic as this client is told."""
        answer = self.link(self.entry).call(105, {"topic": topic, **ext})
        return parse_route(answer.body) if answer.code == 0 else {}

    def address(self, broker: str, topic: str = "TBW102") -> str:
        """Where this client dials a broker."""
        for data in self.route(topic).get("brokerDatas", []):  # type: ignore[attr-defined]
            if data["brokerName"] == broker:
                return data["brokerAddrs"]["0"]
        raise AssertionError(f"{broker} is not in the route of {topic}")

    def ext(self, broker: str, code: int, ext: dict[str, str] | None) -> dict[str, str]:
        """The ext fields, with the broker's name if this style gives it."""
        fields = dict(ext or {})
        if self.style.names_broker and code in NAMED:
            fields["n" if code in SHORT_NAME else "bname"] = broker
        return fields

    def call(self, broker: str, code: int, ext: dict[str, str] | None = None, body: bytes = b"", seconds: float = 8) -> Command:
        """A command for a broker, at the address the route gives."""
        return self.link(self.address(broker)).call(code, self.ext(broker, code, ext), body, seconds)

    def begin(self, broker: str, code: int, ext: dict[str, str] | None = None, body: bytes = b"", flag: int = 0) -> tuple[Connection, int]:
        """As `call`, without waiting."""
        link = self.link(self.address(broker))
        return link, link.begin(code, self.ext(broker, code, ext), body, flag)

    def oneway(self, broker: str, code: int, ext: dict[str, str] | None = None, body: bytes = b"") -> None:
        """A command that is not answered."""
        self.begin(broker, code, ext, body, 2)

    def send(self, broker: str, topic: str, body: bytes = b"hello", queue: int = 0, props: str = "") -> Command:
        """A message in the short form."""
        return self.call(broker, 310, send_fields(topic, queue, props), body)

    def beat(self, consumers: dict[str, list[str]] | None = None, producers: list[str] | None = None, client: str | None = None,
             kind: str = "CONSUME_PASSIVELY") -> dict[str, Command]:
        """A heartbeat towards every broker, as clients do: one per broker name of the route."""
        now = int(time.time() * 1000)
        data = {
            "clientID": client or self.id, "heartbeatFingerprint": 0, "withoutSub": False,
            "producerDataSet": [{"groupName": group} for group in producers or []],
            "consumerDataSet": [{
                "groupName": group, "consumeType": kind, "messageModel": "CLUSTERING", "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
                "unitMode": False, "subscriptionDataSet": [
                    {"classFilterMode": False, "codeSet": [], "tagsSet": [], "expressionType": "TAG", "subString": "*",
                     "subVersion": now, "topic": topic} for topic in topics]} for group, topics in (consumers or {}).items()]}
        for topics in (consumers or {}).values():
            for topic in topics:
                self.route(topic)
        return {name: self.call(name, 34, body=json.dumps(data).encode()) for name in ("broker-a", "broker-b")}

    def links(self) -> list[Connection]:
        """The connections open now."""
        return list(self._links.values())

    def push(self, code: int, seconds: float = 5) -> tuple[Connection, Command]:
        """The next push with `code`, on whichever connection it comes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for link in self.links():
                while not link.pushes.empty():
                    command = link.pushes.get_nowait()
                    if command.code == code:
                        return link, command
            time.sleep(0.01)
        raise AssertionError(f"no push {code} within {seconds} s")

    def close(self) -> None:
        """Closes every connection."""
        for link in self.links():
            link.close()

    def scrub(self, text: str | None) -> str | None:
        """A remark without names and numbers of this run."""
        if text is None:
            return None
        text = text.replace(self.token, "*")
        return re.sub(r"\d+", "N", re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", text))

    def see(self, answer: Command, *moving: str) -> dict[str, object]:
        """What must be equal on both sides: code, remark, names of fields, and the values that do not move."""
        stable = STABLE - set(moving)
        ext = {key: value.replace(self.token, "*") if key in stable else "any" for key, value in sorted(answer.ext.items())}
        return {"code": answer.code, "remark": self.scrub(answer.remark), "ext": ext, "body": bool(answer.body),
                "flag": answer.flag, "language": answer.language, "version": answer.version, "binary": answer.binary}


def parse_route(body: bytes) -> dict[str, object]:
    """Reads a route in either dialect."""
    return json.loads(re.sub(rb'([{,])(\d+):', rb'\1"\2":', body))


def messages(body: bytes) -> list[dict[str, object]]:
    """The stored messages in the body of an answer."""
    found, at = [], 0
    while at < len(body):
        size, = struct.unpack_from(">i", body, at)
        record = body[at:at + size]
        queue, offset, physical = (struct.unpack_from(kind, record, place)[0] for kind, place in ((">i", 12), (">q", 20), (">q", 28)))
        host, port = record[64:68], struct.unpack_from(">i", record, 68)[0]
        times, = struct.unpack_from(">i", record, 72)
        length, = struct.unpack_from(">i", record, 84)
        rest = record[88 + length:]
        name = rest[1:1 + rest[0]].decode()
        props = rest[3 + rest[0]:].decode()
        found.append({"queue": queue, "offset": offset, "physical": physical, "store": f"{'.'.join(map(str, host))}:{port}",
                      "times": times, "body": record[88:88 + length], "topic": name,
                      "properties": dict(pair.split("\x01", 1) for pair in props.split("\x02") if "\x01" in pair)})
        at += size
    return found
