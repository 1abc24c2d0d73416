"""The matrix of client scenarios: every client, direct and through Gimbal at the same time."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import clients
from .clients import Client, Result
from .peers import Watch
from .servers import Cluster

# What each scenario proves stands in README.md. The number is the first Java client that has the API.
JAVA_SCENARIOS = {
    "sync": "4.4.0", "async": "4.4.0", "oneway": "4.4.0", "batch": "4.4.0", "delay": "4.4.0", "big": "4.4.0",
    "order": "4.4.0", "broadcast": "4.4.0", "tags": "4.4.0", "sql": "4.4.0", "pull": "4.4.0", "lite": "4.9.4",
    "retry": "4.4.0", "dlq": "4.4.0", "tx": "4.4.0", "query": "4.4.0", "offsets": "4.4.0", "reset": "4.4.0",
    "members": "4.4.0", "request": "4.9.4", "pop": "5.0.0", "timer": "5.5.0", "recall": "5.5.0",
}
GO_SCENARIOS = ["sync", "async", "oneway", "batch", "delay", "big", "order", "broadcast", "tags", "pull", "retry", "dlq", "tx",
                "members", "request"]
# The short tier runs these with the newest Java client, with the oldest that stands for per-broker ports, and with the released Go client.
LONG = ["reset", "dlq", "recall", "broadcast"]
LONG_IN_SHORT = ["5.5.0", "4.9.4", "Go v2.1.2"]
SHORT_BINARY = ["sync", "batch", "order", "pull", "retry", "tx", "request", "members"]


def scenarios(who: Client, full: bool) -> list[str]:
    """The scenarios that a client can run."""
    left_out = [] if full or who.name in LONG_IN_SHORT else LONG
    if who.language == "go":
        return [name for name in GO_SCENARIOS if name not in left_out]
    age = [int(part) for part in who.version.split(".")]
    names = [name for name, since in JAVA_SCENARIOS.items() if age >= [int(part) for part in since.split(".")]]
    if who.binary:
        names = [name for name in names if name != "pop" and (full or name in SHORT_BINARY)]
    # The long ones first: they share one process.
    slow = ["reset", "dlq", "pop", "tx", "recall", "retry", "members", "query"]
    names = [name for name in names if name not in left_out]
    return [name for name in slow if name in names] + [name for name in names if name not in slow]


def prepare(cluster: Cluster, prefix: str, names: list[str], dead_letters: bool, tenant: str = "") -> None:
    """The topics and groups of one run, so that no client waits for their creation. At the broker they begin with `tenant`."""
    for name in names:
        topic, group = f"{tenant}{prefix}_{name}", f"{tenant}g_{prefix}_{name}"
        cluster.create_topic(topic)
        if name in ("retry", "dlq"):
            cluster.create_topic(f"%RETRY%{group}", 1)
        if name == "dlq" and dead_letters:
            cluster.create_topic(f"%DLQ%{group}", 1)
        if name == "offsets":
            cluster.create_group(group)
        if name.endswith("pop"):
            for member in (group, f"{group}_trusted"):
                mode = {"topic": topic, "consumerGroup": member, "mode": "POP", "popShareQueueNum": 8}
                cluster.admin(401, body=json.dumps(mode).encode())


def reset(cluster: Cluster, event: str, tenant: str = "") -> None:
    """Does what mqadmin's resetOffsetByTime does, at the brokers themselves."""
    word, topic, group = event.split(" ")
    if word == "@reset":
        cluster.admin(222, {"topic": tenant + topic, "group": tenant + group, "timestamp": "0", "isForce": "true"})


def one_client(who: Client, cluster: Cluster, work: Path, targets: dict[str, str], names: list[str], watch: Watch,
               attempt: str = "") -> dict[str, dict[str, Result]]:
    """Runs the scenarios of one client against every target at once; results by target."""
    running = {}
    for target, address in targets.items():
        prefix = f"{who.tag()}{target[0]}{attempt}"
        prepare(cluster, prefix, names, who.language == "go")
        running[target] = clients.begin(who, work, address, prefix, names, watch=watch if target == "gimbal" else None,
                                        on_event=lambda event: reset(cluster, event), j=5)
    with ThreadPoolExecutor(len(running)) as pool:
        return dict(zip(running, pool.map(lambda client: client.finish(), running.values())))


def bypasses(watch: Watch, who: Client) -> str | None:
    """What to report if a client of the Gimbal side held a socket to a server, or was not looked at."""
    ports = {port for name, found in watch.bypasses.items() if name.startswith(f"{who.name} (") for port in found}
    if ports:
        return f"went past Gimbal to ports {sorted(ports)}"
    looks = sum(count for name, count in watch.samples.items() if name.startswith(f"{who.name} ("))
    return None if looks >= 5 else "was not watched"
