"""Gimbal processes under test."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from .process import NotReady, Process, free_block
from .wire import Closed, Connection, NoAnswer


class Gimbal:
    """One instance; `restart` keeps its ports and its state."""

    def __init__(self, binary: Path, work: Path, name: str, nameserver: str, options: list[str]) -> None:
        first = free_block(64)
        self.binary, self.name, self.nameserver, self.options = binary, name, nameserver, options
        self.port = first + 2
        self.broker_ports = (first + 6, first + 63)
        self.home = work / "gimbal" / name
        shutil.rmtree(self.home, ignore_errors=True)
        self.process: Process | None = None

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """The command line."""
        low, high = self.broker_ports
        return [str(self.binary), "run", "--nameserver", self.nameserver, "--listen", self.address,
                "--broker-ports", f"{low}-{high}", "--state-dir", str(self.home / "state"), *self.options]

    def start(self) -> "Gimbal":
        """Starts it and waits until it answers a route."""
        self.process = Process(f"gimbal {self.name}", self.command(), self.home / "out.log", {"RUST_BACKTRACE": "1"})
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if not self.process.running():
                break
            try:
                link = Connection(self.address)
                answer = link.call(105, {"topic": "TBW102"}, seconds=3)
                link.close()
                if answer.code == 0:
                    return self
            except (OSError, NoAnswer, Closed):
                pass
            time.sleep(0.05)
        raise NotReady(f"gimbal {self.name} does not answer; see {self.home / 'out.log'}")

    def stop(self, number: int = 15, seconds: float = 45) -> int | None:
        """Ends it; the exit code."""
        assert self.process is not None
        return self.process.stop(number, seconds)

    def panics(self) -> bool:
        """Whether its log tells of a panic."""
        log = self.home / "out.log"
        return log.exists() and "panicked at" in log.read_text(errors="replace")
