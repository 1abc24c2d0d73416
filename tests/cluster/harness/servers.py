"""Name server and brokers of RocketMQ 5.5.0 on loopback, with small stores in memory."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from .process import Process, free_block
from .wire import Command, Connection

OPENS = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in
         ("java.lang", "java.util", "java.nio", "java.math", "java.net", "java.util.concurrent", "jdk.internal.misc")]
EXPORTS = ["--add-exports=java.base/sun.nio.ch=ALL-UNNAMED", "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED"]
JVM = [*OPENS, *EXPORTS, "-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:TieredStopAtLevel=1"]
BROKER = {
    "brokerClusterName": "DefaultCluster", "flushDiskType": "ASYNC_FLUSH", "bindAddress": "127.0.0.1",
    "brokerIP1": "127.0.0.1", "brokerIP2": "127.0.0.1",
    "mappedFileSizeCommitLog": 67108864, "mappedFileSizeTimerLog": 10485760, "mappedFileSizeConsumeQueue": 400000,
    "maxHashSlotNum": 100000, "maxIndexNum": 400000, "diskMaxUsedSpaceRatio": 95,
    "autoCreateTopicEnable": "true", "autoCreateSubscriptionGroup": "true", "enablePropertyFilter": "true",
    "traceTopicEnable": "true", "recallMessageEnable": "true", "slaveReadEnable": "true",
    "waitTimeMillsInSendQueue": 2000, "transactionCheckInterval": 3000, "transactionTimeOut": 2000,
    # Without these two a 5.5.0 broker uses a whole core from its first ended transaction on.
    "transactionOpMsgMaxSize": 1, "transactionOpBatchInterval": 2000000000,
}


@dataclass
class Broker:
    """One broker process; it also takes the ports beside its own: -2 for sends of old clients, +1 for its replicas."""

    name: str
    settings: dict[str, object]
    home: Path
    store: Path
    classpath: str
    port: int = field(default_factory=lambda: free_block(4) + 2)
    process: Process | None = None

    @property
    def address(self) -> str:
        """Where it serves."""
        return f"127.0.0.1:{self.port}"

    def ports(self) -> set[int]:
        """Every port that leads to this broker."""
        return {self.port, self.port - 2, self.port + 1}

    def start(self) -> None:
        """Starts it without waiting."""
        file = self.home / "broker.conf"
        self.home.mkdir(parents=True, exist_ok=True)
        values = {**BROKER, "brokerName": self.name, "listenPort": self.port, "storePathRootDir": self.store,
                  "storePathCommitLog": self.store / "commitlog", **self.settings}
        file.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
        memory = ["-Xms128m", "-Xmx640m", "-XX:MaxDirectMemorySize=512m"]
        self.process = Process(f"{self.name} at {self.port}", [
            "java", *JVM, *memory, f"-Duser.home={self.home}", "-cp", self.classpath,
            "org.apache.rocketmq.broker.BrokerStartup", "-c", str(file)], self.home / "out.log", {"ROCKETMQ_HOME": str(self.home)})

    def ready(self, seconds: float = 150) -> None:
        """Waits for its boot line."""
        assert self.process is not None
        self.process.await_line("boot success", seconds)

    def stop(self, number: int = 15) -> None:
        """Ends it and waits until its ports are free."""
        if self.process is not None:
            self.process.stop(number)
            self.process = None

    def connect(self, **how: object) -> Connection:
        """A raw connection to this broker, past any proxy."""
        return Connection(self.address, **how)  # type: ignore[arg-type]


class Cluster:
    """A name server and brokers; `admin` calls go to the brokers directly."""

    def __init__(self, work: Path, classpath: str, name: str = "main") -> None:
        self.home = work / "servers" / name
        self.classpath = classpath
        self.store = Path(tempfile.mkdtemp(prefix="gimbal-suite-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        shutil.rmtree(self.home, ignore_errors=True)
        self.namesrv_port = free_block(1)
        self.controller_port = free_block(1)
        self.namesrv: Process | None = None
        self.brokers: dict[str, Broker] = {}
        # Access key and secret of an administrator, where brokers demand one.
        self.key: tuple[str, str] | None = None
        self.queues = 2  # of a topic on each broker

    @property
    def nameserver(self) -> str:
        """The address of the name server."""
        return f"127.0.0.1:{self.namesrv_port}"

    def start_namesrv(self, extra: dict[str, object] | None = None) -> None:
        """Starts the name server and waits for it."""
        home = self.home / "namesrv"
        home.mkdir(parents=True, exist_ok=True)
        values = {"listenPort": self.namesrv_port, "bindAddress": "127.0.0.1", **(extra or {})}
        (home / "namesrv.conf").write_text("".join(f"{key}={value}\n" for key, value in values.items()))
        self.namesrv = Process("name server", [
            "java", *JVM, "-Xmx256m", f"-Duser.home={home}", "-cp", self.classpath,
            "org.apache.rocketmq.namesrv.NamesrvStartup", "-c", str(home / "namesrv.conf")], home / "out.log", {"ROCKETMQ_HOME": str(home)})
        self.namesrv.await_line("boot success", 90)

    def add(self, key: str, name: str, **settings: object) -> Broker:
        """Describes one more broker; `start` on it runs it."""
        values = {"namesrvAddr": self.nameserver, "brokerId": 0, "brokerRole": "ASYNC_MASTER", **settings}
        broker = Broker(name, values, self.home / key, self.store / key, self.classpath)
        self.brokers[key] = broker
        return broker

    def start_usual(self) -> None:
        """Two masters, and a slave of the first."""
        self.add("a", "broker-a")
        self.add("b", "broker-b")
        self.add("a-slave", "broker-a", brokerId=1, brokerRole="SLAVE")
        self.start_namesrv()
        for broker in self.brokers.values():
            broker.start()
        for broker in self.brokers.values():
            broker.ready()
        self.await_masters({"broker-a", "broker-b"})

    def start_switching(self) -> None:
        """Two replicas of broker-a whose master a controller chooses."""
        self.start_namesrv({
            "enableControllerInNamesrv": "true", "controllerDLegerGroup": "group1", "controllerDLegerSelfId": "n0",
            "controllerDLegerPeers": f"n0-127.0.0.1:{self.controller_port}", "controllerStorePath": self.store / "controller"})
        for key in ("r0", "r1"):
            self.add(key, "broker-a", brokerId=-1, brokerRole="SLAVE", enableControllerMode="true",
                     controllerAddr=f"127.0.0.1:{self.controller_port}", allAckInSyncStateSet="true").start()
        for broker in self.brokers.values():
            broker.ready()
        self.await_masters({"broker-a"})

    def start_guarded(self, key: tuple[str, str]) -> None:
        """One broker with ACL 2.0 on, whose administrator has `key`."""
        self.key = key
        admin = json.dumps({"username": key[0], "password": key[1]}, separators=(",", ":"))
        inner = json.dumps({"accessKey": key[0], "secretKey": key[1]}, separators=(",", ":"))
        auth = "org.apache.rocketmq.auth"
        self.start_namesrv()
        self.add("guarded", "broker-a", authenticationEnabled="true", initAuthenticationUser=admin, innerClientAuthenticationCredentials=inner,
                 authenticationProvider=f"{auth}.authentication.provider.DefaultAuthenticationProvider",
                 authenticationMetadataProvider=f"{auth}.authentication.provider.LocalAuthenticationMetadataProvider",
                 authorizationEnabled="true", authorizationProvider=f"{auth}.authorization.provider.DefaultAuthorizationProvider",
                 authorizationMetadataProvider=f"{auth}.authorization.provider.LocalAuthorizationMetadataProvider").start()
        self.brokers["guarded"].ready()
        self.await_masters({"broker-a"})

    def create_user(self, name: str, secret: str, resources: dict[str, list[str]]) -> None:
        """A user of a guarded broker, and what it may do with which resources."""
        user = {"username": name, "password": secret, "userType": "Normal"}
        entries = [{"resource": resource, "actions": actions, "decision": "Allow"} for resource, actions in resources.items()]
        acl = {"subject": f"User:{name}", "policies": [{"policyType": "CUSTOM", "entries": entries}]}
        for code, ext, body in ((3001, {"username": name}, user), (3006, {"subject": f"User:{name}"}, acl)):
            for broker, answer in self.admin(code, ext, json.dumps(body).encode()).items():
                if answer.code != 0:
                    raise RuntimeError(f"user {name} on {broker}: {answer.code} {answer.remark}")

    def await_masters(self, names: set[str], seconds: float = 90) -> None:
        """Waits until the name server knows a master of each name."""
        end = time.monotonic() + seconds
        while not names <= set(self.masters()):
            if time.monotonic() > end:
                raise TimeoutError(f"no masters of {names} at the name server within {seconds} s")
            time.sleep(0.3)

    def route(self, topic: str) -> dict[str, object]:
        """The route of a topic as the name server tells it; empty if it has none."""
        link = Connection(self.nameserver)
        try:
            answer = link.call(105, {"topic": topic, "acceptStandardJsonOnly": "true"})
        finally:
            link.close()
        return json.loads(answer.body) if answer.code == 0 else {}

    def masters(self) -> dict[str, str]:
        """Broker name to address of its master, from the name server."""
        found = {}
        for data in self.route("TBW102").get("brokerDatas", []):  # type: ignore[attr-defined]
            if "0" in data["brokerAddrs"]:
                found[data["brokerName"]] = data["brokerAddrs"]["0"]
        return found

    def admin(self, code: int, ext: dict[str, str] | None = None, body: bytes = b"", only: str | None = None) -> dict[str, Command]:
        """The same command to the master of every broker name, directly."""
        answers = {}
        for name, address in self.masters().items():
            if only in (None, name):
                link = Connection(address, key=self.key)
                answers[name] = link.call(code, ext, body, 10)
                link.close()
        return answers

    def create_topic(self, topic: str, queues: int | None = None, perm: int = 6, **ext: str) -> None:
        """A topic with `queues` queues on every master."""
        queues = queues or self.queues
        fields = {"topic": topic, "defaultTopic": "TBW102", "readQueueNums": str(queues), "writeQueueNums": str(queues),
                  "perm": str(perm), "topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false", **ext}
        for name, answer in self.admin(17, fields).items():
            if answer.code != 0:
                raise RuntimeError(f"creating {topic} on {name}: {answer.code} {answer.remark}")
        end = time.monotonic() + 15
        while len(self.route(topic).get("queueDatas", [])) < len(self.masters()):  # type: ignore[arg-type]
            if time.monotonic() > end:
                raise TimeoutError(f"{topic} is not known everywhere")
            time.sleep(0.02)

    def create_group(self, group: str) -> None:
        """A consumer group on every master."""
        config = {"groupName": group, "consumeEnable": True, "consumeBroadcastEnable": True, "retryQueueNums": 1, "retryMaxTimes": 16,
                  "brokerId": 0, "whichBrokerWhenConsumeSlowly": 1, "consumeFromMinEnable": True}
        for name, answer in self.admin(200, body=json.dumps(config).encode()).items():
            if answer.code != 0:
                raise RuntimeError(f"creating {group} on {name}: {answer.code} {answer.remark}")

    def broker_ports(self) -> set[int]:
        """Every port by which a broker or the name server can be reached."""
        return {self.namesrv_port, self.controller_port}.union(*(broker.ports() for broker in self.brokers.values()))

    def stop(self) -> None:
        """Ends all servers and removes the stores."""
        for broker in self.brokers.values():
            if broker.process is not None:
                broker.process.send(9)
            broker.stop(9)
        if self.namesrv is not None:
            self.namesrv.stop(9)
        shutil.rmtree(self.store, ignore_errors=True)
