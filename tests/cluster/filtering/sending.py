"""Sends that filters refuse: what the clients see, and that they do not try again."""

from __future__ import annotations

import time
from collections import Counter

from harness.clients import Result
from harness.field import Field
from harness.tap import Tap

from .scene import Scene, demand

SENT, RATE, BURST, CONSUMED = 2, 40, 40, 200  # messages a second sent and consumed
LIMITS = f"""
[config]
[[config.rules]]
name = "suite sends"
direction = "send"
topics = ["*_limited", "*_limitedasync"]
per = ["topic"]
messages_per_second = {SENT}
burst_messages = {SENT}

[[config.rules]]
name = "suite consumers"
direction = "consume"
groups = ["*_slowed", "*_slowedpop"]
per = ["group"]
messages_per_second = {RATE}
burst_messages = {BURST}
"""
SENDS, PULLS, POPS = (10, 310, 320), (11, 361), (200050,)


def throttled(f: Field) -> None:
    """A producer above its limit sees 215 and sends nothing twice; a throttled consumer gets everything, in time, and asks calmly."""
    with Scene(f, "throttled", tapped=True) as scene:
        scene.put("20-rate-limit", LIMITS)
        scene.start("20-rate-limit")
        scenarios = {"5.5.0": ["limited", "slowed", "limitedasync", "slowedpop"], "4.9.8": ["limited", "slowed", "limitedasync"]}
        running = {}
        for name, names in scenarios.items():
            running[name] = scene.begin(name, names, limit=150, seconds=6, pause=10, count=CONSUMED, wait=60, j=2)
            time.sleep(2)  # a JVM needs a core to start
        for name, client in running.items():
            for scenario, result in client.finish().items():
                if scenario.startswith("limited"):
                    judge_sends(result, scene.tap, f"{client.process.log.stem}_{scenario}")
                    row = "throttled: sends" if scenario == "limited" else "throttled: async sends"
                else:
                    judge_pulls(result, scene.tap, f"{client.process.log.stem}_{scenario}")
                    row = "throttled: pulls" if scenario == "slowed" else "throttled: pops"
                scene.note(row, name, result, client)


def judge_sends(result: Result, tap: Tap, topic: str) -> None:
    """Each call is one command at Gimbal, 215 is the only error, and what got through is what the limit allows."""
    if not result["ok"]:
        return
    calls, stored = int(result["calls"]), int(result["stored"])  # type: ignore[call-overload]
    least, most = (SENT + SENT * int(result[name]) / 1000 for name in ("send_ms", "all_ms"))  # type: ignore[call-overload]
    seen, answers = len(tap.requests(*SENDS, topic=topic)), tap.answers(*SENDS, topic=topic)
    result.update(seen=seen, answers=str(dict(answers)))
    demand(result, calls > most, f"only {calls} calls: the machine is too slow to go beyond {most:.0f}")
    demand(result, result["codes"] == "{215=%d}" % (calls - stored), f"codes {result['codes']} of {calls} calls, {stored} stored")
    demand(result, seen == calls, f"{calls} calls became {seen} commands")
    demand(result, answers == Counter({0: stored, 215: calls - stored}), f"answers {answers}")
    demand(result, 0.6 * least <= stored <= most + 2, f"{stored} were let through, the limit allows {most:.0f}")
    demand(result, "suite sends" in str(result["remarks"]), f"the remark names no rule: {result['remarks']}")


def judge_pulls(result: Result, tap: Tap, topic: str) -> None:
    """Everything came, no faster than allowed, by pulls that are few and answered without errors."""
    if not result["ok"]:
        return
    codes = POPS if topic.endswith("pop") else PULLS
    pulls = [e for e in tap.requests(*codes) if e.request.ext.get("topic") == topic]
    answers = Counter(e.answer.code for e in pulls if e.answer)
    busiest = max(Counter(int(e.at) for e in pulls).values(), default=0)
    result.update(pulls=len(pulls), busiest_second=busiest, answers=str(dict(answers)))
    # The first pull of each of four queues is free, and each takes eight.
    least = (CONSUMED - BURST - 4 * 8) / RATE * 1000
    took = int(result["consume_ms"])  # type: ignore[call-overload]
    demand(result, pulls, "no pulls were seen")
    demand(result, took >= 0.8 * least, f"all came within {took} ms, the limit allows no less than {least:.0f}")
    demand(result, took <= 4 * least, f"it took {took} ms, the limit needs about {least:.0f}")
    # 24 and 25: a broker that does not know the group or its subscription yet, as direct.
    demand(result, set(answers) <= {0, 19, 20, 24, 25, 209, 210} and answers[24] + answers[25] <= 4, f"answers {answers}")
    demand(result, busiest <= 40, f"{busiest} pulls in one second")


GUARD = """
[config]
[[config.rules]]
name = "suite rules"
topics = ["*_refused"]
max_body_bytes = 2000
required_properties = ["owner"]
"""


def guarded(f: Field) -> None:
    """Bodies too large and messages without a property are answered 13 with the rule, once each; one-way ones vanish."""
    with Scene(f, "guarded", tapped=True) as scene:
        scene.put("20-guard", GUARD)
        scene.start("20-guard")
        running = {name: scene.begin(name, ["refused"], limit=90, size=3000) for name in ("5.5.0", "4.9.8")}
        for name, client in running.items():
            result = client.finish()["refused"]
            topic = f"{client.process.log.stem}_refused"
            seen = scene.tap.requests(*SENDS, topic=topic)
            result.update(seen=len(seen), answers=str(dict(scene.tap.answers(*SENDS, topic=topic))))
            demand(result, result.get("fine") == "{}5", f"good ones: {result.get('fine')}")
            for kind in ("big", "bare"):
                said = str(result.get(kind))
                demand(result, said.startswith("{13=5}") and "suite rules" in said, f"{kind} ones: {said}")
            demand(result, len(seen) == 20, f"20 calls became {len(seen)} commands")
            scene.note("guarded", name, result, client)
