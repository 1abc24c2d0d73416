"""The list of probes: each runs on both sides and returns what must be equal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from .caller import Caller, Style


@dataclass(frozen=True)
class Probe:
    """One probe; `only_gimbal` marks what a broker has no counterpart for."""

    name: str
    run: Callable[[Caller], object]
    only_gimbal: bool
    json_only: bool
    once: bool

    def fits(self, style: Style) -> bool:
        """Whether a client of this style can run it."""
        if self.json_only and style.binary:
            return False
        return not self.once or style.names_broker and not style.binary


PROBES: list[Probe] = []


def probe(name: str, *, only_gimbal: bool = False, json_only: bool = False, once: bool = False) -> Callable[[Callable[[Caller], object]], Callable[[Caller], object]]:
    """Registers a probe. `json_only`: its codes do not exist in the binary header. `once`: one style is enough."""
    def add(run: Callable[[Caller], object]) -> Callable[[Caller], object]:
        PROBES.append(Probe(name, run, only_gimbal, json_only, once))
        return run
    return add
