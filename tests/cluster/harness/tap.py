"""A relay that looks on: which commands pass between clients and Gimbal, or Gimbal and a server, and what is answered."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from .balancer import Balancer
from .wire import ONEWAY, Command, decode


@dataclass
class Exchange:
    """One request and its answer, if one came."""

    request: Command
    at: float
    answer: Command | None = None
    took: float | None = None

    def topic(self) -> str:
        """The topic of the request, if an ext field tells it."""
        return self.request.ext.get("topic") or self.request.ext.get("b") or ""


@dataclass
class _Direction:
    """Bytes of one direction that make no whole frame yet."""

    pending: dict[int, Exchange]
    from_client: bool
    rest: bytearray = field(default_factory=bytearray)


class Tap(Balancer):
    """Forwards like a balancer with one target and notes every command."""

    def __init__(self, ports: list[int], host: str, source: str | None = None, listen: str = "127.0.0.1") -> None:
        self.exchanges: list[Exchange] = []
        self._directions: dict[socket.socket, _Direction] = {}
        self._noting = threading.Lock()
        super().__init__(ports, [host], source, listen)

    def opened(self, client: socket.socket, target: socket.socket) -> None:
        """Answers are found by the connection and their number."""
        pending: dict[int, Exchange] = {}
        self._directions[client] = _Direction(pending, True)
        self._directions[target] = _Direction(pending, False)

    def passing(self, source: socket.socket, data: bytes) -> None:
        """Cuts the bytes into frames."""
        direction = self._directions[source]
        direction.rest += data
        while len(direction.rest) >= 4:
            size, = struct.unpack_from(">I", direction.rest)
            if len(direction.rest) < 4 + size:
                return
            self._note(direction, decode(bytes(direction.rest[4:4 + size])))
            del direction.rest[:4 + size]

    def _note(self, direction: _Direction, command: Command) -> None:
        now = time.monotonic()
        with self._noting:
            if not command.is_answer():
                if direction.from_client:
                    exchange = Exchange(command, now)
                    self.exchanges.append(exchange)
                    if not command.flag & ONEWAY:
                        direction.pending[command.opaque] = exchange
            elif not direction.from_client and (exchange := direction.pending.pop(command.opaque, None)):
                exchange.answer, exchange.took = command, now - exchange.at

    def requests(self, *codes: int, topic: str | None = None) -> list[Exchange]:
        """What clients asked, by code and, where ext fields tell it, by the end of the topic."""
        with self._noting:
            return [e for e in self.exchanges if e.request.code in codes and (topic is None or e.topic().endswith(topic))]

    def answers(self, *codes: int, topic: str | None = None) -> Counter[int | None]:
        """How often each code came back on requests of these codes; None is no answer."""
        return Counter(e.answer.code if e.answer else None for e in self.requests(*codes, topic=topic))
