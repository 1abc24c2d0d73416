"""A Gimbal with a folder of filters, and what a scenario does with it."""

from __future__ import annotations

import shutil
import time

from harness.clients import Result, Running
from harness.fetch import REPO
from harness.field import Field
from harness.process import NotReady
from harness.tap import Tap


# A call is measured by the wall clock, and the machine of this suite may be busy.
PATIENCE = """
[budget]
time = "1s"
"""


class Scene:
    """One Gimbal. `tapped`: clients reach it by a relay that counts commands; `sources` gives relays of listeners an address."""

    def __init__(self, f: Field, name: str, *, tapped: bool = False, sources: dict[str, str] | None = None, **settings: object) -> None:
        self.field = f
        self.gimbal = f.gimbal(f"filters-{name}", filtered=True, host="127.0.0.2" if tapped else "127.0.0.1", **settings)
        self.taps: dict[str, Tap] = {}
        self._tapped, self._sources = tapped, sources or {}
        self._told: dict[str, int] = {}

    def start(self, *files: str) -> "Scene":
        """Starts Gimbal and waits until the filters of these files serve."""
        if self._tapped:
            for listener in self.gimbal.listeners:
                port = self.gimbal.port_of(listener)
                self.taps[listener] = Tap([port, port - 2], self.gimbal.host, self._sources.get(listener))
        self.gimbal.start()
        for file in files:
            self.loaded(file)
        return self

    def __enter__(self) -> "Scene":
        return self

    def __exit__(self, *_: object) -> None:
        for tap in self.taps.values():
            tap.close()
        self.gimbal.stop(9)

    def address(self, listener: str = "main") -> str:
        """What clients of a listener are given."""
        return f"127.0.0.1:{self.gimbal.port_of(listener)}"

    @property
    def tap(self) -> Tap:
        """The relay before the first listener."""
        return self.taps[self.gimbal.listeners[0]]

    def put(self, file: str, sidecar: str, kind: str | None = None) -> float:
        """Drops a shipped filter and its settings into the folder, settings first; the wall clock when it was there.

        `20-rate-limit` is the filter rate-limit; `kind` names the filter where the file is called otherwise.
        """
        kind = kind or file.split("-", 1)[1]
        folder = self.gimbal.folder
        self._told[file] = len(self.log())
        (folder / f"{file}.toml").write_text(sidecar + PATIENCE)
        shutil.copyfile(REPO / "filters" / kind / f"{kind}.wasm", folder / f".{file}.part")
        (folder / f".{file}.part").rename(folder / f"{file}.wasm")
        return time.time()

    def take(self, file: str) -> float:
        """Takes a filter out of the folder; the wall clock when it was gone."""
        (self.gimbal.folder / f"{file}.wasm").unlink()
        (self.gimbal.folder / f"{file}.toml").unlink()
        return time.time()

    def log(self) -> str:
        """What Gimbal has printed."""
        return self.gimbal.process.output() if self.gimbal.process else ""

    def loaded(self, file: str, seconds: float = 30) -> None:
        """Waits until the filter of a file serves as it was put there last; raises NotReady with Gimbal's reason if it does not."""
        name = file.split("-", 1)[1]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            lines = [line for line in self.log()[self._told[file]:].splitlines() if f'filter="{name}"' in line or f"filter={name} " in line]
            if any("filter loaded" in line for line in lines):
                return
            if refused := [line for line in lines if "not loaded" in line]:
                raise NotReady(f"filter {file}: {refused[0]}")
            time.sleep(0.05)
        raise NotReady(f"filter {file} was not loaded within {seconds:.0f} s; see {self.gimbal.home / 'out.log'}")

    def begin(self, client: str, scenarios: list[str], listener: str = "main", **options: object) -> Running:
        """Starts a client behind this Gimbal."""
        return self.field.begin(client, "gimbal", self.address(listener), scenarios, **options)  # type: ignore[arg-type]

    def note(self, row: str, client: str, result: Result, running: Running) -> None:
        """Enters a result into the table; whoever went past Gimbal, or got messages of others, has failed."""
        if bypass := self.field.watch.bypasses.get(f"{client} ({running.process.log.stem})"):
            demand(result, False, f"went past Gimbal to ports {sorted(bypass)}")
        demand(result, not result.get("strangers"), f"{result.get('strangers')} messages of others")
        self.field.table.put(row, client, "gimbal", result)


def demand(result: Result, holds: object, why: str) -> None:
    """Marks a result as failed unless something holds; the first reason stays."""
    if not holds and result["ok"]:
        result.update(ok=False, why=why)
