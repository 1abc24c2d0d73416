"""A filter dropped into the folder while clients run at full speed."""

from __future__ import annotations

import time

from harness.clients import Result
from harness.field import Field

from .scene import Scene, demand

RATE = 10
LIMIT = f"""
[config]
[[config.rules]]
name = "suite"
direction = "send"
topics = ["*_gush"]
messages_per_second = {RATE}
burst_messages = 5
"""
# Wall clock in seconds, then sends stored, refused with 215, and failed otherwise, since the line before.
Tick = tuple[float, int, int, int]


def reload_live(f: Field) -> None:
    """A dropped rate limit holds a moment later, its removal lifts it, and no client sees an error but 215 meanwhile."""
    with Scene(f, "reload") as scene:
        scene.start()
        for name in ("5.5.0", "4.9.8") if f.full else ("5.5.0",):
            running = scene.begin(name, ["gush"], limit=120, seconds=35 if f.full else 18)
            running.await_event("flowing", 60)
            time.sleep(4)
            periods = []
            for _ in range(3 if f.full else 1):
                dropped = scene.put("20-rate-limit", LIMIT)
                scene.loaded("20-rate-limit")
                time.sleep(3)
                periods.append((dropped, scene.take("20-rate-limit")))
                time.sleep(2.5)
            result = running.finish()["gush"]
            ticks = [read(line) for line in running.events() if line.startswith("@rate")]
            for dropped, taken in periods:
                judge(result, ticks, dropped, taken)
            scene.note("reload-live", name, result, running)


def read(line: str) -> Tick:
    """One line of the client."""
    _, at, *counts = line.split(" ")
    return int(at) / 1000, *(int(count) for count in counts)  # type: ignore[return-value]


def judge(result: Result, ticks: list[Tick], dropped: float, taken: float) -> None:
    """What the client counted before, during and after."""
    def between(begin: float, end: float) -> tuple[float, int, int]:
        chosen = [tick for tick in ticks if begin < tick[0] <= end]
        span = max(end - begin, 0.1)
        return sum(t[1] for t in chosen) / span, sum(t[2] for t in chosen), sum(t[3] for t in chosen)
    before, refused_before, _ = between(dropped - 1.5, dropped)
    first = next((at for at, _, refused, _ in ticks if refused and at > dropped), None)
    # From the moment it holds, which on a full machine is not at once.
    during, refused, _ = between(max(dropped + 1, (first or dropped) + 0.3), taken)
    after, refused_after, _ = between(taken + 1, taken + 2.4)
    result.update({"ms_to_hold": round((first - dropped) * 1000) if first else -1, "rates": f"{before:.0f} {during:.0f} {after:.0f}"})
    demand(result, not sum(t[3] for t in ticks), f"errors: {result.get('codes')}, {result.get('remarks')}")
    demand(result, before > 3 * RATE, f"only {before:.0f} messages/s before the filter: the machine is too slow")
    demand(result, not refused_before, f"{refused_before} sends refused before the filter was there")
    demand(result, first is not None and first < dropped + 10, f"the limit did not hold within ten seconds: {result['ms_to_hold']} ms")
    demand(result, refused and during <= 1.2 * RATE + 5, f"{during:.0f} messages/s under the limit of {RATE}")
    demand(result, not refused_after and after > 2 * RATE, f"after its end {after:.0f} messages/s, {refused_after} refused")
