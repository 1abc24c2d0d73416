"""Child processes with a log file each: started, awaited by a line they print, ended by pid."""

from __future__ import annotations

import atexit
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path


class NotReady(Exception):
    """A process ended, or its line did not come in time."""


class Process:
    """One child process whose output goes to `log`."""

    alive: list["Process"] = []

    def __init__(self, name: str, command: list[str], log: Path, env: dict[str, str] | None = None) -> None:
        self.name, self.log = name, log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            out.write(("\n$ " + " ".join(command) + "\n").encode())
            out.flush()
            self._from = out.tell()
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})}, cwd=log.parent, start_new_session=True)
        self.pid = self._child.pid
        Process.alive.append(self)

    def output(self) -> str:
        """What this process has printed so far."""
        with self.log.open("rb") as file:
            file.seek(self._from)
            return file.read().decode(errors="replace")

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._child.poll() is None

    def await_line(self, text: str, seconds: float) -> None:
        """Returns once `text` was printed; raises NotReady at the end of the process or of the time."""
        end = time.monotonic() + seconds
        while text not in self.output():
            if not self.running():
                raise NotReady(f"{self.name} ended with {self._child.returncode}; see {self.log}")
            if time.monotonic() > end:
                raise NotReady(f"{self.name} printed no '{text}' within {seconds:.0f} s; see {self.log}")
            time.sleep(0.1)

    def wait(self, seconds: float) -> int | None:
        """The exit code, or None if it still runs after `seconds`."""
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def send(self, number: int) -> None:
        """Sends a signal to this process alone."""
        if self.running():
            os.kill(self.pid, number)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 40) -> int | None:
        """Ends the process, by force if it takes longer than `seconds`, and waits until it is gone."""
        self.send(signal.SIGCONT)
        self.send(number)
        code = self.wait(seconds)
        if code is None:
            self.send(signal.SIGKILL)
            code = self.wait(10)
        if self in Process.alive:
            Process.alive.remove(self)
        return code


def end_all() -> None:
    """Kills whatever this suite started and did not stop."""
    for process in list(Process.alive):
        process.stop(signal.SIGKILL, 10)


atexit.register(end_all)


def free_block(size: int, taken: set[int] = set()) -> int:  # noqa: B006 - one set for the whole run
    """The first port of `size` neighbouring ports nobody listens on, below the range of outgoing ports."""
    for _ in range(500):
        first = random.randrange(20_000, 31_000)
        block = range(first, first + size)
        if taken.isdisjoint(block) and all(_free(port) for port in block):
            taken.update(block)
            return first
    raise NotReady(f"no {size} free ports in a row")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True
