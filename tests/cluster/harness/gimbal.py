"""Gimbal processes under test."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from .process import NotReady, Process, free_block
from .wire import Closed, Connection, NoAnswer


@dataclass
class Gimbal:
    """One instance; a second `start` keeps its ports and its state."""

    binary: Path
    home: Path
    nameserver: str
    allow: str = "request-reply"
    host: str = "127.0.0.1"
    first: int = field(default_factory=lambda: free_block(64))
    # Brokers with a fixed port, by name: then a file configures it instead of flags.
    fixed: dict[str, int] = field(default_factory=dict)
    # Listeners by name, beside each other in the block of ports; several need a file too.
    listeners: tuple[str, ...] = ("main",)
    # Whether it has a folder of filters, and the text of its credentials file.
    filtered: bool = False
    credentials: str | None = None
    # Further lines of a listener's section, by its name; then a file configures it, too.
    sections: dict[str, str] = field(default_factory=dict)
    # Further sections of its file, as text.
    settings: str = ""
    process: Process | None = None

    def __post_init__(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        (self.folder if self.filtered else self.home).mkdir(parents=True)

    @property
    def port(self) -> int:
        """The port that clients are told; the port two below is taken too."""
        return self.first + 2

    @property
    def admin_port(self) -> int:
        """The port of its admin listener."""
        return self.first + 1

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"{self.host}:{self.port}"

    def command(self) -> list[str]:
        """The command line. Everything is advertised as 127.0.0.1, store hosts included, so that no client has a reason to go past."""
        if self.fixed or self.sections or self.settings or self.credentials is not None or len(self.listeners) > 1:
            (self.home / "gimbal.toml").write_text(self._file())
            return [str(self.binary), "run", "-c", str(self.home / "gimbal.toml")]
        return [str(self.binary), "run", "--nameserver", self.nameserver, "--listen", self.address, "--advertise", "127.0.0.1",
                "--broker-ports", self._broker_ports(0), "--allow", self.allow, "--rewrite-store-host", "--state-dir", str(self.home / "state"),
                *(["--filters", str(self.folder)] if self.filtered else [])]

    def _file(self) -> str:
        lines = [f'nameservers = "{self.nameserver}"', f'allow = "{self.allow}"', f'state_dir = "{self.home / "state"}"']
        if self.filtered:
            lines.append(f'filters = "{self.folder}"')
        if self.credentials is not None:
            (self.home / "credentials.toml").write_text(self.credentials)
            (self.home / "credentials.toml").chmod(0o600)
            lines.append(f'credentials = "{self.home / "credentials.toml"}"')
        lines += ["", "[admin]", f'bind = "{self.host}:{self.admin_port}"']
        for n, name in enumerate(self.listeners):
            lines += ["", "[[listener]]", f'name = "{name}"', f'bind = "{self.host}:{self.port_of(name)}"', 'advertise = "127.0.0.1"',
                      "rewrite_store_host = true"]
            if self.fixed:
                lines.append("brokers = { %s }" % ", ".join(f'"{broker}" = {port}' for broker, port in self.fixed.items()))
            else:
                lines.append(f'broker_ports = "{self._broker_ports(n)}"')
            lines.append(self.sections.get(name, ""))
        return "\n".join(lines) + "\n" + self.settings

    def _broker_ports(self, listener: int) -> str:
        room = 64 // len(self.listeners)
        return f"{self.first + listener * room + 6}-{self.first + (listener + 1) * room - 1}"

    def port_of(self, listener: str) -> int:
        """The port that clients of a listener are told."""
        return self.first + 2 + self.listeners.index(listener) * (64 // len(self.listeners))

    @property
    def folder(self) -> Path:
        """Its folder of filters."""
        return self.home / "filters.d"

    def start(self) -> "Gimbal":
        """Starts it and waits until it answers a route."""
        self.process = Process(f"gimbal {self.home.name}", self.command(), self.home / "out.log",
                               {"RUST_BACKTRACE": "1", "GIMBAL_ADMIN__BIND": f"{self.host}:{self.admin_port}"})
        end = time.monotonic() + 20
        while time.monotonic() < end and self.process.running():
            try:
                link = Connection(self.address)
                answer = link.call(105, {"topic": "TBW102"}, seconds=3)
                link.close()
                if answer.code == 0:
                    return self
            except (OSError, NoAnswer, Closed):
                pass
            time.sleep(0.05)
        raise NotReady(f"gimbal {self.home.name} does not answer; see {self.home / 'out.log'}")

    def stop(self, number: int = 15, seconds: float = 60) -> int | None:
        """Ends it; the exit code."""
        return self.process.stop(number, seconds) if self.process else None

    def complaint(self) -> str | None:
        """What its log says that it must not: a panic, or an end nobody asked for."""
        log = self.home / "out.log"
        if log.exists() and "panicked at" in log.read_text(errors="replace"):
            return f"Gimbal panicked; see {log}"
        if self.process and not self.process.running() and self.process in Process.alive:
            return f"Gimbal ended by itself; see {log}"
        return None
