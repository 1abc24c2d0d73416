"""Signed clients behind Gimbal, before a broker that demands signatures."""

from __future__ import annotations

from harness.clients import Result
from harness.field import Field
from harness.servers import Cluster
from harness.tap import Tap
from harness.wire import signature

from .scene import Scene, demand

ADMIN, OWN, APP, STRANGER = ("admin", "adminpw12"), ("gimbal", "gimbal-secret1"), ("app", "app-secret1"), ("stranger", "stranger-secret1")
CREDENTIALS = f"""
own = "{OWN[0]}"

[[key]]
access_key = "{OWN[0]}"
secret_key = "{OWN[1]}"

[[key]]
access_key = "{APP[0]}"
secret_key = "{APP[1]}"
"""
# Every topic and group of the user app gets other names, so nearly every command of it has to be signed again.
USERS = """
[config]
topic_prefix = "{user}%"
group_prefix = "{user}%"

[scope]
users = ["app"]
"""
STAMPS = """
[config]
[[config.rules]]
name = "stamps"
codes = [10, 310, 320]
topics = ["*_changed", "*_sync"]
set_properties = { stamp = "{ip}" }
"""
ANY = {"Topic:*": ["Pub", "Sub", "Get"], "Group:*": ["Pub", "Sub", "Get"]}
# A client of 5.5.0 ends a transaction that a broker asked about under the topic in which half messages lie.
OF_APP = {"Topic:RMQ_SYS_TRANS_HALF_TOPIC": ["Pub"], "Topic:app%*": ["Pub", "Sub", "Get"], "Topic:%RETRY%app%*": ["Pub", "Sub", "Get"], "Group:app%*": ["Pub", "Sub", "Get"]}
SCENARIOS = ["tx", "retry", "members", "query", "sync", "oneway", "batch", "order", "pull", "broadcast"]


def signed(f: Field) -> None:
    """ACL 2.0: what a filter changes is signed again and accepted; wrong keys are refused, and without a key nothing is sent broken."""
    cluster = Cluster(f.work, f.classpath, "guarded")
    cluster.queues = 4
    try:
        cluster.start_guarded(ADMIN)
        f.watch.forbid(cluster.broker_ports())
        for user, resources in ((APP, OF_APP), (STRANGER, ANY), (OWN, ANY), (("direct", "direct-secret1"), ANY)):
            cluster.create_user(*user, resources)
        direct(f, cluster)
        if f.binary:
            through(f, cluster)
    finally:
        cluster.stop()


def versions(f: Field) -> list[str]:
    """The clients of a tier."""
    return ["5.5.0", "4.9.8", "4.9.4"] if f.full else ["5.5.0", "4.9.8"]


def scenarios(f: Field, name: str) -> list[str]:
    """What a client of that version runs."""
    return ["pop", *SCENARIOS] if name >= "5" else SCENARIOS if f.full else ["tx", "retry", "query", "order", "sync"]


def direct(f: Field, cluster: Cluster) -> None:
    """The same clients without Gimbal, as a user who may do everything."""
    for name in versions(f)[:None if f.full or not f.binary else 1]:
        running = f.begin(name, "direct", cluster.nameserver, scenarios(f, name), cluster=cluster, limit=150, ak="direct", sk="direct-secret1", j=5)
        for scenario, result in running.finish().items():
            f.table.put(f"signed: {scenario}", name, "direct", result)


def through(f: Field, cluster: Cluster) -> None:
    """Through Gimbal, whose way to the name server is watched."""
    tap = Tap([cluster.namesrv_port], "127.0.0.1", listen="127.0.0.3")
    with Scene(f, "signed", nameserver=f"127.0.0.3:{cluster.namesrv_port}", credentials=CREDENTIALS) as scene:
        scene.put("30-rewrite-users", USERS, "rewrite")
        scene.put("40-rewrite-stamps", STAMPS, "rewrite")
        scene.start("30-rewrite-users", "40-rewrite-stamps")
        for name in versions(f):
            running = scene.begin(name, scenarios(f, name), cluster=cluster, tenant="app%", limit=150, ak=APP[0], sk=APP[1], j=5)
            for scenario, result in running.finish().items():
                scene.note(f"signed: {scenario}", name, result, running)
        for name in versions(f)[:2 if f.full else 1]:
            wrong_secret(scene, cluster, name)
            unknown_key(scene, cluster, name)
    own_requests(f, tap)
    tap.close()


def wrong_secret(scene: Scene, cluster: Cluster, name: str) -> None:
    """A wrong secret and no signature at all are refused with 16."""
    for row, options in (("signed: wrong secret", {"ak": APP[0], "sk": "wrong-secret1"}), ("signed: not at all", {})):
        running = scene.begin(name, ["plain"], cluster=cluster, limit=60, count=2, **options)
        result = running.finish()["plain"]
        demand(result, str(result.get("codes")).startswith("{16"), f"codes {result.get('codes')}, {result.get('remarks')}")
        scene.note(row, name, result, running)


def unknown_key(scene: Scene, cluster: Cluster, name: str) -> None:
    """Of a user whose key Gimbal lacks, what no filter changes passes, and what one changes is refused with a reason."""
    running = scene.begin(name, ["plain", "changed"], cluster=cluster, limit=60, ak=STRANGER[0], sk=STRANGER[1])
    found = running.finish()
    demand(found["plain"], found["plain"].get("stored") == 4, f"unchanged sends: {found['plain'].get('codes')}, {found['plain'].get('remarks')}")
    scene.note("signed: key unknown, unchanged", name, found["plain"], running)
    changed, remarks = found["changed"], str(found["changed"].get("remarks"))
    demand(changed, changed.get("stored") == 0, f"{changed.get('stored')} changed sends were stored")
    demand(changed, "sign" in remarks or "key" in remarks, f"the remark gives no reason: {remarks}")
    demand(changed, "check signature failed" not in remarks, f"it reached the broker with a broken signature: {remarks}")
    scene.note("signed: key unknown, changed", name, changed, running)


def own_requests(f: Field, tap: Tap) -> None:
    """Gimbal signs what it asks a name server itself."""
    asked = [e.request for e in tap.requests(105, 106)]
    bad = [r for r in asked if r.ext.get("AccessKey") != OWN[0] or r.ext.get("Signature") != signature(r.ext, r.body, OWN[1])]
    result: Result = {"ok": True, "why": None, "log": str(f.work / "gimbal" / "filters-signed" / "out.log")}
    demand(result, asked, "Gimbal asked the name server nothing")
    demand(result, not bad, f"{len(bad)} of {len(asked)} requests to the name server are not signed by {OWN[0]}: {[r.ext for r in bad[:2]]}")
    f.table.put("signed: Gimbal's own route requests", "5.5.0", "gimbal", result)
