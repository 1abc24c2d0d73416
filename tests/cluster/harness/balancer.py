"""A TCP balancer in one thread: connections go to the targets by turns, past those that do not accept."""

from __future__ import annotations

import selectors
import socket
import threading


class Balancer:
    """Listens on ports of `listen` and forwards each to the same port of the `hosts`, which see `source` as its address."""

    def __init__(self, ports: list[int], hosts: list[str], source: str | None = None, listen: str = "127.0.0.1") -> None:
        self.hosts = hosts
        self._source = (source, 0) if source else None
        self.taken = {host: 0 for host in hosts}
        self._turn = 0
        self._selector = selectors.DefaultSelector()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._end = threading.Event()
        for port in ports:
            listener = socket.create_server((listen, port))
            self._selector.register(listener, selectors.EVENT_READ, port)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Closes everything."""
        self._end.set()
        self._thread.join(5)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]

    def opened(self, client: socket.socket, target: socket.socket) -> None:
        """Called for each new pair of connections, for those who look on."""

    def passing(self, source: socket.socket, data: bytes) -> None:
        """Called before bytes are forwarded, for those who look on."""

    def _serve(self) -> None:
        while not self._end.is_set():
            for key, _ in self._selector.select(0.2):
                if isinstance(key.data, int):
                    self._accept(key.fileobj, key.data)  # type: ignore[arg-type]
                else:
                    self._forward(key.fileobj)  # type: ignore[arg-type]

    def _accept(self, listener: socket.socket, port: int) -> None:
        client, _ = listener.accept()
        for _ in self.hosts:
            host = self.hosts[self._turn % len(self.hosts)]
            self._turn += 1
            try:
                target = socket.create_connection((host, port), 2, self._source)
            except OSError:
                continue
            self.taken[host] += 1
            for one, other in ((client, target), (target, client)):
                one.settimeout(10)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._peers[one] = other
                self._selector.register(one, selectors.EVENT_READ, None)
            self.opened(client, target)
            return
        client.close()

    def _forward(self, source: socket.socket) -> None:
        if source not in self._peers:
            return
        try:
            data = source.recv(1 << 16)
            if data:
                self.passing(source, data)
                self._peers[source].sendall(data)
                return
        except OSError:
            pass
        for end in (source, self._peers[source]):
            self._selector.unregister(end)
            self._peers.pop(end, None)
            end.close()
