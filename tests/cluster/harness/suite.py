"""The command line of the suite, and the order in which things run."""

from __future__ import annotations

import argparse
import fcntl
import signal
import sys
import time
import traceback
from pathlib import Path

from edge.scenarios import EDGE
from filtering.scenarios import FILTERS
from probes import runner

from . import faults, fetch, matrix, tools, upstream
from .clients import CLIENTS, Client, Result
from .field import Field, say
from .peers import Watch
from .process import end_all
from .servers import Cluster

SHORT_CLIENTS = [client.name for client in CLIENTS if client.name != "4.9.4 bin"]
# Name, function, whether the short tier has it, whether it needs Gimbal.
EXTRAS = [*faults.FAULTS, ("static-topic", tools.static_topic, False, False), ("mqadmin", tools.admin, False, False),
          ("benchmark", tools.benchmark, False, False), ("client-seen", upstream.client_seen, True, True), *EDGE, *FILTERS]


def arguments(words: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="run", description="Real RocketMQ servers and clients, direct and through Gimbal.")
    parser.add_argument("--full", action="store_true", help="the whole matrix instead of the short tier")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME",
                        help="parts by name: probes, matrix, a client, a scenario of clients, a fault, filters, edge, or a scenario of those; probes=WORD chooses probes")
    parser.add_argument("--list", action="store_true", help="shows the names and ends")
    parser.add_argument("--direct", action="store_true", help="without Gimbal")
    parser.add_argument("--keep", action="store_true", help="leaves the servers running at the end until Enter is pressed")
    parser.add_argument("--work", type=Path, default=fetch.REPO / "target" / "cluster", help="folder for jars, logs and results")
    parser.add_argument("--gimbal", metavar="PATH", help="the binary under test (default: the release build of this repository)")
    return parser.parse_args(words)


class Choice:
    """What a run includes."""

    def __init__(self, full: bool, only: list[str]) -> None:
        self.full = full
        self.only = set(only)
        self.probe_words = [word.split("=", 1)[1] for word in only if word.startswith("probes=")]
        scenarios = {*matrix.JAVA_SCENARIOS, *matrix.GO_SCENARIOS}
        self.clients = [c for c in CLIENTS if c.name in only] or [c for c in CLIENTS if full or c.name in SHORT_CLIENTS]
        self.scenarios = [name for name in only if name in scenarios]
        known = {"probes", "matrix", "filters", "edge", *scenarios, *(c.name for c in CLIENTS), *(name for name, *_ in EXTRAS)}
        if unknown := [word for word in only if word not in known and not word.startswith("probes=")]:
            raise SystemExit(f"nothing is called {unknown}; see --list")

    def probes(self) -> bool:
        """Whether raw commands are compared."""
        return not self.only or "probes" in self.only or bool(self.probe_words)

    def matrix(self) -> bool:
        """Whether client scenarios run."""
        return not self.only or "matrix" in self.only or bool(self.scenarios) or any(c.name in self.only for c in CLIENTS)

    def of(self, client: Client) -> list[str]:
        """The scenarios of one client."""
        return [name for name in matrix.scenarios(client, self.full or bool(self.scenarios)) if not self.scenarios or name in self.scenarios]

    def extra(self, name: str, short: bool) -> bool:
        """Whether a fault or tool scenario runs."""
        parts = [part for part, listed in (("filters", FILTERS), ("edge", EDGE)) if any(name == one for one, *_ in listed)]
        chosen = not self.only or any(part in self.only for part in parts)
        return name in self.only or chosen and (short or self.full)


def show() -> int:
    """Prints every name that --only takes."""
    from probes.registry import PROBES
    print("clients:   " + ", ".join(c.name for c in CLIENTS))
    print("scenarios: " + " ".join(matrix.JAVA_SCENARIOS))
    print("Go:        " + " ".join(matrix.GO_SCENARIOS))
    print("faults and tools, short tier:     " + " ".join(name for name, _, short, _ in EXTRAS if short))
    print("faults and tools, full tier only: " + " ".join(name for name, _, short, _ in EXTRAS if not short))
    print("probes:")
    for probe in PROBES:
        print(f"  {probe.name}: {(probe.run.__doc__ or '').strip()}")
    return 0


def main(words: list[str]) -> int:
    """Runs the suite; 0 if nothing differs."""
    options = arguments(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are ended and their stores removed
    if options.list:
        return show()
    choice = Choice(options.full, options.only)
    work = options.work.resolve()
    begin = time.monotonic()
    (work / "logs").mkdir(parents=True, exist_ok=True)
    lock = (work / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SystemExit(f"another run uses {work}; give this one a folder of its own with --work") from None
    needed = choice.clients if choice.matrix() else []
    extras = any(choice.extra(name, short) for name, _, short, _ in EXTRAS)
    java = sorted({c.version for c in needed if c.language == "java"} | ({"5.5.0", "5.1.0", "4.9.8", "4.9.4"} if extras else set()))
    go = sorted({c.version for c in needed if c.language == "go"} | ({"v2.1.2", "newest"} if extras else set()))
    fetch.everything(work, java, go)
    say("jars and client programs are there", begin)
    binary = None if options.direct else fetch.gimbal_binary(options.gimbal)
    classpath = f"{fetch.server_jars(work)}/*"
    cluster = Cluster(work, classpath)
    failures: list[str] = ["the suite did not get to its end"]
    try:
        cluster.start_usual()
        say("name server, two masters and a slave are up", begin)
        f = Field(work, classpath, cluster, Watch(cluster.broker_ports()), binary, options.full)
        if binary:
            f.main = f.gimbal("main").start()
        failures = everything(f, choice, begin)
        if options.keep:
            input(f"name server {cluster.nameserver}, Gimbal {f.main.address if f.main else '-'}; Enter ends ")
    finally:
        end_all()
        cluster.stop()
    return report(failures, begin)


def everything(f: Field, choice: Choice, begin: float) -> list[str]:
    """Runs what was chosen; the failures."""
    failures: list[str] = []
    if choice.probes():
        failures += probes(f, choice, begin)
    if choice.matrix():
        clients(f, choice, begin)
    for name, scenario, short, needs_gimbal in EXTRAS:
        if not choice.extra(name, short) or needs_gimbal and not f.binary:
            continue
        started = time.monotonic()
        try:
            scenario(f)
        except Exception as error:  # noqa: BLE001 - the other scenarios go on
            traceback.print_exc()
            failures.append(f"{name}: {type(error).__name__}: {error}")
        say(f"{name} ({(time.monotonic() - started) / 60:.1f} min)", begin)
    if f.table.cells:
        print("\nCells are direct/gimbal.\n" + f.table.text() + "\n")
    for note in f.table.notes():
        print(f"not counted: {note}")
    failures += f.table.failures()
    failures += [complaint for gimbal in f.gimbals if (complaint := gimbal.complaint())]
    return failures


def probes(f: Field, choice: Choice, begin: float) -> list[str]:
    """Compares raw commands."""
    outcomes = runner.run(f.cluster, f.main.address if f.main else None, f.work, choice.probe_words)
    counted = {kind: sum(getattr(o, kind) == "ok" for o in outcomes) for kind in ("direct", "gimbal")}
    say(f"probes: {len(outcomes)} in all; direct {counted['direct']} ok, through Gimbal {counted['gimbal']} ok", begin)
    for outcome in outcomes:
        if outcome.direct not in ("ok", "-"):
            print(f"not counted: probe '{outcome.name}' [{outcome.style}] fails direct: {outcome.direct}")
    log = f.work / "logs" / "probes.log"
    return [f"probe '{o.name}' [{o.style}]: {o.gimbal}; log {log}" for o in outcomes if o.failed()]


def clients(f: Field, choice: Choice, begin: float) -> None:
    """Runs the matrix of client scenarios."""
    for who in choice.clients:
        names = choice.of(who)
        if not names:
            continue
        started = time.monotonic()
        targets = {side: f.address(side) for side in f.sides()}
        results = matrix.one_client(who, f.cluster, f.work, targets, names, f.watch)
        again = [name for name in names if f.binary and results["direct"][name]["ok"] and not results["gimbal"][name]["ok"]]
        if again:
            for name in again:
                say(f"{who.name}, {name}: {results['gimbal'][name].get('why')}; once more, alone")
            repeated = matrix.one_client(who, f.cluster, f.work, targets, again, f.watch, "again")
            for side, found in repeated.items():
                results[side].update(found)
        note(f, who, results)
        bad = [f"{side} {name}" for side, found in results.items() for name, result in found.items() if not result["ok"]]
        say(f"{who.name}: {len(names)} scenarios ({(time.monotonic() - started) / 60:.1f} min)" + (f"; failed: {', '.join(bad)}" if bad else ""), begin)


def note(f: Field, who: Client, results: dict[str, dict[str, Result]]) -> None:
    """Enters the results of one client into the table."""
    for side, found in results.items():
        for scenario, result in found.items():
            f.table.put(scenario, who.name, side, result)
    if f.binary:
        why = matrix.bypasses(f.watch, who)
        f.table.put("reached brokers only through Gimbal", who.name, "gimbal", {"ok": why is None, "why": why})


def report(failures: list[str], begin: float) -> int:
    """The last lines, and the exit code."""
    for failure in failures:
        print(f"FAILED: {failure}")
    say("failed" if failures else "passed", begin)
    return 1 if failures else 0
