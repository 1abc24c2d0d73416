"""Proof that clients reach brokers through Gimbal only: nobody under watch may own a socket towards a server's port."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

ESTABLISHED, OPENING = "01", "02"


def sockets_towards(ports: set[int]) -> dict[str, int]:
    """Inode to remote port, for every TCP socket on this machine that leads to one of `ports`."""
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not Path(table).exists():
            continue
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            port = int(fields[2].rsplit(":", 1)[1], 16)
            if port in ports and fields[3] in (ESTABLISHED, OPENING):
                found[fields[9]] = port
    return found


def inodes(pid: int) -> set[str]:
    """The sockets that a process holds."""
    held = set()
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            try:
                match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(entry.path))
            except OSError:
                continue
            if match:
                held.add(match[1])
    except OSError:
        pass
    return held


class Watch:
    """Looks ten times a second at the sockets of the processes added to it."""

    def __init__(self, forbidden: set[int]) -> None:
        self._forbidden = forbidden
        self._watched: dict[int, str] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()
        self.samples: dict[str, int] = {}
        self.bypasses: dict[str, set[int]] = {}
        threading.Thread(target=self._look, daemon=True).start()

    def add(self, pid: int, name: str) -> None:
        """Watches a process until `remove`."""
        with self._lock:
            self._watched[pid] = name

    def remove(self, pid: int) -> None:
        """Ends the watch over a process."""
        with self._lock:
            self._watched.pop(pid, None)

    def forbid(self, ports: set[int]) -> None:
        """Adds ports that nobody under watch may reach."""
        self._forbidden = self._forbidden | ports

    def stop(self) -> None:
        """Ends the watch."""
        self._end.set()

    def _look(self) -> None:
        while not self._end.wait(0.1):
            with self._lock:
                watched = dict(self._watched)
            if not watched:
                continue
            towards = sockets_towards(self._forbidden)
            for pid, name in watched.items():
                self.samples[name] = self.samples.get(name, 0) + 1
                for inode in inodes(pid) & towards.keys():
                    self.bypasses.setdefault(name, set()).add(towards[inode])
