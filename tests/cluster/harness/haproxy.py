"""HAProxy in front of Gimbals: layer 4, one listen section for all ports, instances checked by their readiness."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

from .gimbal import Gimbal
from .process import NotReady, Process


class HaProxy:
    """Listens on `ports` of 127.0.0.1 and forwards each to the same port of a Gimbal that says it is ready."""

    def __init__(self, home: Path, ports: list[int], gimbals: list[Gimbal], send: str = "") -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._socket = home / "stats.sock"
        binds = ",".join(f"127.0.0.1:{port}" for port in ports)
        servers = [f"    server {gimbal.home.name} {gimbal.host} check port {gimbal.admin_port} inter 200ms fall 1 rise 1 {send}".rstrip()
                   for gimbal in gimbals]
        text = "\n".join([
            "global", f"    stats socket {self._socket} mode 600 level admin", "defaults", "    mode tcp", "    balance leastconn",
            "    timeout connect 2s", "    timeout client 150s", "    timeout server 150s", "listen gimbal", f"    bind {binds}",
            "    option httpchk GET /readyz", "    http-check expect status 200", *servers, ""])
        config = home / "haproxy.cfg"
        config.write_text(text)
        self.process = Process("haproxy", [shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f", str(config)], home / "out.log")
        self._names = [gimbal.home.name for gimbal in gimbals]
        for name in self._names:
            self.await_state(name, "UP")

    def close(self) -> None:
        """Ends it."""
        self.process.stop()

    def await_state(self, server: str, state: str, seconds: float = 20) -> None:
        """Waits until HAProxy holds a server for UP or DOWN."""
        end = time.monotonic() + seconds
        while not self.row(server).get("status", "").startswith(state):
            if time.monotonic() > end or not self.process.running():
                raise NotReady(f"haproxy does not see {server} {state}: {self.row(server).get('status')}; see {self.process.log}")
            time.sleep(0.05)

    def taken(self) -> dict[str, int]:
        """Connections given to each Gimbal so far."""
        return {name: int(self.row(name).get("stot", "0") or 0) for name in self._names}

    def row(self, server: str) -> dict[str, str]:
        """What HAProxy's statistics say of a server; empty while it does not answer."""
        try:
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(5)
                link.connect(str(self._socket))
                link.sendall(b"show stat\n")
                text = b"".join(iter(lambda: link.recv(1 << 16), b"")).decode()
        except OSError:
            return {}
        lines = text.lstrip("# ").splitlines()
        head = lines[0].split(",")
        rows = (dict(zip(head, line.split(","))) for line in lines[1:])
        return next((row for row in rows if row.get("svname") == server), {})
