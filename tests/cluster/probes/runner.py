"""Runs every probe in every style on both sides and compares what they saw."""

from __future__ import annotations

import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness.servers import Cluster

from . import consuming, edges, groups, sending  # noqa: F401 - they register themselves
from .caller import STYLES, Caller, Style, Truth
from .registry import PROBES, Probe


@dataclass
class Outcome:
    """One probe in one style: `direct` and `gimbal` are "ok" or what went wrong."""

    name: str
    style: str
    direct: str
    gimbal: str
    seconds: float

    def failed(self) -> bool:
        """Whether Gimbal lacks what the brokers do."""
        return self.gimbal not in ("ok", "-") and self.direct in ("ok", "-")


def observe(probe: Probe, cluster: Cluster, entry: str, style: Style, side: str, detail: Path) -> tuple[object, str]:
    """What one probe saw on one side, and how it ended."""
    caller = Caller(cluster, Truth(cluster), entry, style, side)
    try:
        return probe.run(caller), "ok"
    except Exception as error:  # noqa: BLE001 - whatever goes wrong is the finding
        with detail.open("a") as file:
            file.write(f"\n== {probe.name} / {style.name} / {side}\n{traceback.format_exc()}")
        return None, f"{type(error).__name__}: {error}"[:400]
    finally:
        caller.close()


def differences(direct: object, gimbal: object, place: str = "") -> list[str]:
    """Where two observations differ."""
    if isinstance(direct, dict) and isinstance(gimbal, dict):
        return [d for key in sorted({*direct, *gimbal}, key=str) for d in differences(direct.get(key), gimbal.get(key), f"{place}/{key}")]
    if isinstance(direct, (list, tuple)) and isinstance(gimbal, (list, tuple)) and len(direct) == len(gimbal):
        return [d for n, pair in enumerate(zip(direct, gimbal)) for d in differences(*pair, f"{place}/{n}")]
    return [] if direct == gimbal else [f"{place}: direct {direct!r}, gimbal {gimbal!r}"]


def one(probe: Probe, style: Style, cluster: Cluster, gimbal: str | None, detail: Path) -> Outcome:
    """One probe in one style."""
    begin = time.monotonic()
    side = "direct again" if gimbal == cluster.nameserver else "gimbal"
    direct, direct_end = (None, "-") if probe.only_gimbal else observe(probe, cluster, cluster.nameserver, style, "direct", detail)
    through, gimbal_end = observe(probe, cluster, gimbal, style, side, detail) if gimbal else (None, "-")
    if direct_end == "ok" and gimbal_end == "ok" and (found := differences(direct, through)):
        gimbal_end = "differs: " + "; ".join(found)[:1500]
        with detail.open("a") as file:
            file.write(f"\n== {probe.name} / {style.name}\n" + "\n".join(found) + "\n")
    return Outcome(probe.name, style.name, direct_end, gimbal_end, time.monotonic() - begin)


def again(outcome: Outcome, jobs: list[tuple[Probe, Style]], cluster: Cluster, gimbal: str | None, detail: Path) -> Outcome:
    """A probe that failed runs once more, alone: a busy machine is not a finding."""
    if outcome.direct in ("ok", "-") and outcome.gimbal in ("ok", "-"):
        return outcome
    probe, style = next(job for job in jobs if (job[0].name, job[1].name) == (outcome.name, outcome.style))
    return one(probe, style, cluster, gimbal, detail)


def run(cluster: Cluster, gimbal: str | None, work: Path, only: list[str]) -> list[Outcome]:
    """All probes; those that stop a broker run alone at the end. `only` chooses by parts of names."""
    detail = work / "logs" / "probes.log"
    detail.parent.mkdir(parents=True, exist_ok=True)
    detail.write_text("")
    chosen = [p for p in PROBES if not only or any(word in p.name for word in only)]
    jobs = [(p, style) for p in chosen for style in STYLES if p.fits(style) and (gimbal or not p.only_gimbal)]
    # What changes a broker's settings, or takes care of timing, runs alone.
    alone = [job for job in jobs if job[0].name.startswith("push 220")]
    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(lambda job: one(*job, cluster, gimbal, detail), [job for job in jobs if job not in alone]))
    outcomes += [one(*job, cluster, gimbal, detail) for job in alone]
    outcomes = [again(outcome, jobs, cluster, gimbal, detail) for outcome in outcomes]
    if gimbal and (not only or any(word in "frozen broker" for word in only)):
        still = Probe("frozen broker", edges.frozen, True, False, False)
        outcomes += [one(still, style, cluster, gimbal, detail) for style in STYLES if still.fits(style) and not style.binary]
    return outcomes
