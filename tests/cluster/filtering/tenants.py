"""Two tenants with the same names on one cluster."""

from __future__ import annotations

import json
import re

from harness import clients, matrix
from harness.clients import Running
from harness.field import Field
from harness.servers import Cluster

from .scene import Scene, demand

TENANTS = ("red", "blue")
PREFIXES = """
[config]
topic_prefix = "{listener}%"
group_prefix = "{listener}%"
"""
NEWEST = ["dlq", "reset", "pop", "tx", "retry", "query", "order", "broadcast", "sql", "batch", "members", "lite", "pull", "recall", "request"]
OLD = ["dlq", "tx", "query", "order", "retry", "sql"]
SHORT = {"5.5.0": NEWEST[:11], "4.9.4": OLD}
FULL = {"5.5.0": NEWEST, "4.9.8": OLD + ["reset", "broadcast", "pull", "lite", "batch", "members", "request"], "4.9.4": OLD + ["reset", "members", "batch"],
        "5.1.0": ["retry", "pop", "tx", "order"], "5.0.0": ["retry", "pop", "tx", "order"],
        "Go v2.1.2": ["dlq", "order", "tx", "retry", "broadcast", "batch", "pull", "members"],
        "Go newest": ["dlq", "order", "tx", "retry", "broadcast", "batch", "pull", "members"], "5.5.0 bin": ["sync", "tx", "retry", "order"]}
SYSTEM = re.compile(r"rmq_sys_|RMQ_SYS_|CID_RMQ_SYS|CID_SYS|SCHEDULE_TOPIC|SELF_TEST|TBW102|BenchmarkTest|OFFSET_MOVED|broker-|DefaultCluster|TRANS_CHECK|TOOLS_CONSUMER|"
                    r"CID_ONSAPI|FILTERSRV|__MONITOR|CLIENT_INNER|DefaultHeartBeat")


def tenants(f: Field) -> None:
    """The same programs with the same names run for both at once; all passes, nothing crosses, and brokers know prefixed names alone."""
    before = names(f.cluster)
    with Scene(f, "tenants", listeners=TENANTS) as scene:
        scene.put("30-rewrite", PREFIXES)
        scene.start("30-rewrite")
        for name, scenarios in (FULL if f.full else SHORT).items():
            again = both(scene, f, name, scenarios, "t")
            if again:
                both(scene, f, name, again, "u")  # alone: a busy machine is not a finding
        result: clients.Result = {"ok": True, "why": None, "log": str(scene.gimbal.home / "out.log")}
        foreign = sorted(name for name in names(f.cluster) - before if not belongs(name))
        demand(result, not foreign, f"names without a tenant at the brokers: {foreign[:12]}")
        for tenant in TENANTS:
            demand(result, any(f"{tenant}%" in name for name in names(f.cluster) - before), f"{tenant} is nowhere at the brokers")
        f.table.put("tenants: brokers hold prefixed names only", "5.5.0", "gimbal", result)


def both(scene: Scene, f: Field, name: str, scenarios: list[str], attempt: str) -> list[str]:
    """Runs the scenarios for both tenants, under the same names; those that failed."""
    who = clients.client(name)
    f.runs += 1
    prefix = f"{attempt}{f.runs}{who.tag()}"
    running: dict[str, Running] = {}
    for tenant in TENANTS:
        matrix.prepare(f.cluster, prefix, scenarios, who.language == "go", f"{tenant}%")
        running[tenant] = clients.begin(who, f.work, scene.address(tenant), prefix, scenarios, watch=f.watch, place=f"-{tenant}",
                                        on_event=lambda event, prefix=f"{tenant}%": matrix.reset(f.cluster, event, prefix), j=5)  # type: ignore[misc]
    failed = []
    for tenant, client in running.items():
        for scenario, result in client.finish().items():
            scene.note(f"tenants: {scenario} ({tenant})", name, result, client)
            if not result["ok"] and scenario not in failed:
                failed.append(scenario)
    return failed


def names(cluster: Cluster) -> set[str]:
    """Every topic, group, and pair of them with an offset, as the servers know them."""
    found = set()
    for answer in cluster.admin(201).values():
        found |= {f"group {group}" for group in json.loads(answer.body)["subscriptionGroupTable"]}
    for answer in cluster.admin(21).values():
        found |= {f"topic {topic}" for topic in json.loads(answer.body)["topicConfigTable"]}
    for answer in cluster.admin(43).values():
        # The queues in this body are numbers without quotes: no JSON.
        found |= {f"offset {pair}" for pair in re.findall(r'"([^"@]+@[^"]+)":', answer.body.decode())}
    return found


def belongs(text: str) -> bool:
    """Whether a name is a tenant's or the system's; a topic and a group with an offset belong to the same tenant."""
    kind, name = text.split(" ", 1)
    if kind == "offset":
        topic, group = name.split("@")[:2]  # of a broadcast there is a third part
        return SYSTEM.match(topic) is not None or SYSTEM.match(group) is not None or \
            any(plain(topic).startswith(f"{t}%") and plain(group).startswith(f"{t}%") for t in TENANTS)
    return SYSTEM.match(name) is not None or any(plain(name).startswith(f"{t}%") for t in TENANTS)


def plain(name: str) -> str:
    """Without the prefix of a retry or dead letter topic."""
    return re.sub(r"^%(RETRY|DLQ)%", "", name)
