"""Runs of the real client programs: one process, several scenarios, one result each."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from . import fetch
from .peers import Watch
from .process import Process

Result = dict[str, object]
CLIENT_JVM = ["-Xmx400m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]


@dataclass
class Client:
    """One client program: a language, a version, a header form."""

    name: str
    language: str
    version: str
    binary: bool = False

    def tag(self) -> str:
        """A form of the name that may stand in topic names."""
        return self.name.replace(".", "").replace(" ", "").replace("-", "").lower()

    def command(self, work: Path, address: str, prefix: str, scenarios: list[str], options: dict[str, object],
                place: str = "") -> list[str]:
        """The command line of one run; `place` tells its files from those of another run with the same prefix."""
        tls = bool(options.get("tls"))
        words = [word for key, value in options.items() if key != "tls" for word in (f"-{key}", str(value))]
        if self.language == "go":
            return [str(fetch.go_client(work, self.version)), "-n", address, "-p", prefix, *(["-tls"] if tls else []), *words,
                    *scenarios]
        home = work / "homes" / (prefix + place)
        home.mkdir(parents=True, exist_ok=True)
        jvm = [*CLIENT_JVM, f"-Duser.home={home}", f"-Drocketmq.client.logRoot={home}/logs", "-Drocketmq.client.logLevel=WARN",
               f"-Drocketmq.client.localOffsetStoreDir={home}/offsets", "--add-opens=java.base/java.nio=ALL-UNNAMED"]
        if self.binary:
            jvm.append("-Drocketmq.serialize.type=ROCKETMQ")
        if tls:
            jvm.append("-Dtls.enable=true")
        return ["java", *jvm, "-cp", fetch.java_client(work, self.version), "Client", "-n", address, "-p", prefix, *words, *scenarios]


CLIENTS = [Client(version, "java", version) for version in fetch.JAVA] + [
    Client("Go v2.1.2", "go", "v2.1.2"), Client("Go newest", "go", "newest"),
    Client("5.5.0 bin", "java", "5.5.0", True), Client("4.9.4 bin", "java", "4.9.4", True)]


def client(name: str) -> Client:
    """The client of that name."""
    return next(c for c in CLIENTS if c.name == name)


@dataclass
class Running:
    """A client process under way; `finish` gives its results."""

    process: Process
    scenarios: list[str]
    limit: float
    watch: Watch | None = None
    on_event: Callable[[str], None] | None = None
    started: float = field(default_factory=time.monotonic)
    _told: int = 0

    def events(self) -> list[str]:
        """The lines that begin with @, in order; new ones are passed on."""
        lines = [line for line in self.process.output().splitlines() if line.startswith("@")]
        for line in lines[self._told:]:
            self._told += 1
            if self.on_event:
                self.on_event(line)
        return lines

    def await_event(self, word: str, seconds: float = 40) -> None:
        """Waits until the client printed an event."""
        self.process.await_line(f"@{word}", seconds)

    def finish(self) -> dict[str, Result]:
        """Waits for the end and reads one result per scenario; a missing one is a failure."""
        while self.process.running() and time.monotonic() - self.started < self.limit:
            self.events()
            time.sleep(0.1)
        late = self.process.running()
        self.process.stop(9)
        if self.watch:
            self.watch.remove(self.process.pid)
        results: dict[str, Result] = {}
        for line in self.process.output().splitlines():
            if line.startswith('{"scenario"'):
                result = json.loads(line)
                results[result["scenario"]] = {**result, "log": str(self.process.log)}
        why = f"no result within {self.limit:.0f} s" if late else "the client program ended without a result"
        for name in self.scenarios:
            results.setdefault(name, {"scenario": name, "ok": False, "why": why, "log": str(self.process.log)})
        return results


def begin(who: Client, work: Path, address: str, prefix: str, scenarios: list[str], *, limit: float = 240,
          watch: Watch | None = None, on_event: Callable[[str], None] | None = None, place: str = "", **options: object) -> Running:
    """Starts a client process; its log lies in the work folder under `logs`."""
    command = who.command(work, address, prefix, scenarios, options, place)
    process = Process(f"{who.name} {' '.join(scenarios)}", command, work / "logs" / f"{prefix}{place}.log", {"ROCKETMQ_GO_LOG_LEVEL": "warn"})
    if watch:
        watch.add(process.pid, f"{who.name} ({prefix}{place})")
    return Running(process, scenarios, limit, watch, on_event)
