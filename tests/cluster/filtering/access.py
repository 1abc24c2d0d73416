"""Access lists: who becomes a member, and who may send."""

from __future__ import annotations

from harness.field import Field
from probes.caller import Truth

from .scene import Scene, demand

OUTSIDE = "127.0.0.9"
RULES = f"""
[config]
default = "allow"

[[config.rules]]
name = "outsiders do not send"
effect = "deny"
actions = ["publish"]
addresses = ["{OUTSIDE}/32"]
topics = ["*_admitted"]

[[config.rules]]
name = "outsiders are no members"
effect = "deny"
actions = ["subscribe"]
addresses = ["{OUTSIDE}"]
groups = ["g_*"]
"""


def acl_members(f: Field) -> None:
    """Of two members of a group one is denied by its address: it never becomes a member, and the other keeps every queue and message."""
    truth = Truth(f.cluster)
    with Scene(f, "acl", tapped=True, sources={"outside": OUTSIDE}, listeners=("inside", "outside")) as scene:
        scene.put("10-acl", RULES)
        scene.start("10-acl")
        for name in ("5.5.0", "4.9.8", "4.9.4") if f.full else ("5.5.0", "4.9.8"):
            seen: list[tuple[str, dict[str, list[str]]]] = []

            def members(event: str) -> None:
                if event.startswith("@members"):
                    _, _, group, allowed, _ = event.split(" ")
                    seen.append((allowed, truth.members(group)))
            addressing = {"n2": scene.address("outside")}
            running = scene.begin(name, ["admitted"], "inside", limit=120, on_event=members, **addressing)
            result = running.finish()["admitted"]
            result["members"] = str([found for _, found in seen])
            demand(result, len(seen) == 2, f"the members were looked at {len(seen)} times")
            for allowed, found in seen:
                demand(result, all(ids == [allowed] for ids in found.values()), f"members besides {allowed}: {found}")
            demand(result, result.get("codes") == "{16 after retries=3}", f"the denied producer saw {result.get('codes')}")
            demand(result, "outsiders do not send" in str(result.get("remarks")), f"the remark names no rule: {result.get('remarks')}")
            scene.note("acl-members", name, result, running)


LISTED = """
[config]
default = "deny"

[[config.rules]]
name = "one team"
effect = "allow"
addresses = ["127.0.0.0/8"]
actions = ["publish", "subscribe"]
topics = ["f*"]

[[config.rules]]
name = "its groups"
effect = "allow"
addresses = ["127.0.0.0/8"]
actions = ["subscribe"]
groups = ["g_f*"]
"""


def acl_listed(f: Field) -> None:
    """Where all is denied but a team's topics and groups, its clients need no more rules: retries, dead letters, transactions, POP, SQL."""
    with Scene(f, "listed") as scene:
        scene.put("10-acl", LISTED)
        scene.start("10-acl")
        plan = {"5.5.0": ["dlq", "tx", "retry", "pop", "query", "order", "sql", "offsets"], "4.9.8": ["tx", "retry", "order", "pull"]}
        if f.full:
            plan["4.9.4"] = ["tx", "dlq", "retry", "order", "broadcast", "members"]
        for name, scenarios in plan.items():
            running = scene.begin(name, scenarios, limit=150, j=5)
            for scenario, result in running.finish().items():
                if not result["ok"]:
                    result["why"] = f"{result.get('why')}; checked {result.get('checked')}"
                scene.note(f"acl-listed: {scenario}", name, result, running)
