"""What every scenario of a run shares, and the table of what came out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from . import clients, matrix
from .clients import Result, Running
from .gimbal import Gimbal
from .peers import Watch
from .servers import Cluster

Sides = dict[str, Result]


@dataclass
class Table:
    """Rows are scenarios, columns clients; a cell holds one result per side."""

    cells: dict[str, dict[str, Sides]] = field(default_factory=dict)

    def put(self, row: str, column: str, side: str, result: Result) -> None:
        """Notes one result."""
        self.cells.setdefault(row, {}).setdefault(column, {})[side] = result

    def failures(self) -> list[str]:
        """What fails through Gimbal and does not fail direct; then what fails on both sides, which does not count."""
        return [text for row, column, sides in self._all() for text in [_failure(row, column, sides)] if text]

    def notes(self) -> list[str]:
        """Scenarios that fail direct: facts about RocketMQ or this machine."""
        return [f"{row}, {column}: direct fails: {sides['direct'].get('why')}; log {sides['direct'].get('log')}"
                for row, column, sides in self._all() if _state(sides.get("direct")) == "FAIL"]

    def _all(self) -> list[tuple[str, str, Sides]]:
        return [(row, column, sides) for row, columns in self.cells.items() for column, sides in columns.items()]

    def text(self) -> str:
        """The table, cells direct/gimbal."""
        columns = [c.name for c in clients.CLIENTS if any(c.name in row for row in self.cells.values())]
        columns += sorted({name for row in self.cells.values() for name in row} - set(columns))
        width = max([len(row) for row in self.cells] + [8]) + 2
        lines = ["".ljust(width) + "".join(column.ljust(13) for column in columns)]
        for row, found in self.cells.items():
            shown = ["-" if column not in found else "/".join(_state(found[column].get(side)) for side in ("direct", "gimbal"))
                     for column in columns]
            lines.append(row.ljust(width) + "".join(cell.ljust(13) for cell in shown))
        return "\n".join(line.rstrip() for line in lines)


def _state(result: Result | None) -> str:
    return "-" if result is None else "ok" if result["ok"] else "FAIL"


def _failure(row: str, column: str, sides: Sides) -> str | None:
    through = sides.get("gimbal")
    if _state(through) == "FAIL" and _state(sides.get("direct")) != "FAIL":
        assert through is not None
        return f"{row}, {column}: {through.get('why')}; log {through.get('log')}"
    return None


@dataclass
class Field:
    """The running cluster, the Gimbals in front of it, and where things are written."""

    work: Path
    classpath: str
    cluster: Cluster
    watch: Watch
    binary: Path | None
    full: bool
    table: Table = field(default_factory=Table)
    gimbals: list[Gimbal] = field(default_factory=list)
    main: Gimbal | None = None
    runs: int = 0

    def sides(self) -> list[str]:
        """The sides that this run compares."""
        return ["direct", "gimbal"] if self.binary else ["direct"]

    def gimbal(self, name: str, nameserver: str | None = None, **settings: object) -> Gimbal:
        """A further instance, not started."""
        assert self.binary is not None
        instance = Gimbal(self.binary, self.work / "gimbal" / name, nameserver or self.cluster.nameserver, **settings)  # type: ignore[arg-type]
        self.gimbals.append(instance)
        return instance

    def begin(self, name: str, side: str, address: str, scenarios: list[str], *, topics: bool = True, cluster: Cluster | None = None,
              tenant: str = "", **options: object) -> Running:
        """Starts a client on fresh topics, whose names begin with `tenant` at the brokers; on the Gimbal side it is watched."""
        who = clients.client(name)
        self.runs += 1
        prefix = f"f{self.runs}{who.tag()}{side[0]}"
        if topics:
            matrix.prepare(cluster or self.cluster, prefix, scenarios, who.language == "go", tenant)
        return clients.begin(who, self.work, address, prefix, scenarios, watch=self.watch if side == "gimbal" else None,
                             **options)  # type: ignore[arg-type]

    def address(self, side: str) -> str:
        """What clients of a side are given as name server."""
        if side == "direct":
            return self.cluster.nameserver
        assert self.main is not None
        return self.main.address

    def finish(self, row: str, running: dict[tuple[str, str], Running]) -> dict[tuple[str, str], Result]:
        """Waits for clients that run one scenario each, and notes their results under (client, side)."""
        results = {}
        for (column, side), client in running.items():
            result = next(iter(client.finish().values()))
            if side == "gimbal" and (bypass := self.watch.bypasses.get(f"{column} ({client.process.log.stem})")):
                result = {**result, "ok": False, "why": f"went past Gimbal to ports {sorted(bypass)}"}
            self.table.put(row, column, side, result)
            results[column, side] = result
        return results


def say(text: str, begin: float | None = None) -> None:
    """One line of progress; with the minutes since `begin`."""
    minutes = f"{(time.monotonic() - begin) / 60:5.1f} min  " if begin is not None else ""
    print(f"{minutes}{text}", flush=True)
