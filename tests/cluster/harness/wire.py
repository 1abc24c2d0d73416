"""A small remoting client: frames, both header forms, calls, one-way commands and pushes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import queue
import socket
import struct
import threading
from dataclasses import dataclass, field

LANGUAGES = "JAVA CPP DOTNET PYTHON DELPHI ERLANG RUBY OTHER HTTP GO PHP OMS RUST NODE_JS".split()
ANSWER, ONEWAY = 1, 2
FRAME_MAX = 16 << 20
opaques = itertools.count(1000)


@dataclass
class Command:
    """One request or answer."""

    code: int
    ext: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    flag: int = 0
    opaque: int = 0
    remark: str | None = None
    language: str = "JAVA"
    version: int = 513
    binary: bool = False

    def is_answer(self) -> bool:
        """Whether this answers a request of the receiving side."""
        return bool(self.flag & ANSWER)

    def encode(self) -> bytes:
        """The whole frame."""
        header = self._binary() if self.binary else self._json()
        return struct.pack(">II", 4 + len(header) + len(self.body), self.binary << 24 | len(header)) + header + self.body

    def _json(self) -> bytes:
        fields = {"code": self.code, "extFields": self.ext, "flag": self.flag, "language": self.language,
                  "opaque": self.opaque, "serializeTypeCurrentRPC": "JSON", "version": self.version}
        if self.remark is not None:
            fields["remark"] = self.remark
        return json.dumps(fields, separators=(",", ":")).encode()

    def _binary(self) -> bytes:
        ext = b"".join(_entry(key, value) for key, value in self.ext.items())
        remark = (self.remark or "").encode()
        code = (self.code + 0x8000) % 0x10000 - 0x8000
        fixed = struct.pack(">hBhiii", code, LANGUAGES.index(self.language), self.version, self.opaque, self.flag, len(remark))
        return fixed + remark + struct.pack(">i", len(ext)) + ext


def signature(ext: dict[str, str], body: bytes, secret: str) -> str:
    """What an ACL client puts into `Signature`: a keyed hash over the values of all other ext fields, by name, and the body."""
    content = "".join(ext[name] for name in sorted(ext) if name != "Signature").encode() + body
    return base64.b64encode(hmac.new(secret.encode(), content, hashlib.sha1).digest()).decode()


def _entry(key: str, value: str) -> bytes:
    raw_key, raw_value = key.encode(), value.encode()
    return struct.pack(">h", len(raw_key)) + raw_key + struct.pack(">i", len(raw_value)) + raw_value


def decode(frame: bytes) -> Command:
    """The command in `frame`, which begins after the length word."""
    word, = struct.unpack_from(">I", frame)
    size = word & 0xFFFFFF
    header, body = frame[4:4 + size], frame[4 + size:]
    if word >> 24 == 0:
        h = json.loads(header)
        return Command(h["code"], h.get("extFields") or {}, body, h.get("flag", 0), h.get("opaque", 0), h.get("remark"),
                       h.get("language", "JAVA"), h.get("version", 0))
    code, language, version, opaque, flag, remark = struct.unpack_from(">hBhiii", header)
    at = 21 + remark
    ext: dict[str, str] = {}
    while at < len(header):
        key, = struct.unpack_from(">h", header, at)
        value, = struct.unpack_from(">i", header, at + 2 + key)
        ext[header[at + 2:at + 2 + key].decode()] = header[at + 6 + key:at + 6 + key + value].decode()
        at += 6 + key + value
    return Command(code, ext, body, flag, opaque, header[17:17 + remark].decode() or None, LANGUAGES[language], version, True)


class NoAnswer(Exception):
    """No answer within the time given."""


class Closed(Exception):
    """The other side closed the connection."""


class Connection:
    """One TCP connection; answers go to their callers, requests of the other side into `pushes`.

    With `key`, an access key and its secret, every request is signed. With `source`, it comes from that address of this machine.
    """

    def __init__(self, address: str, language: str = "JAVA", version: int = 513, binary: bool = False,
                 key: tuple[str, str] | None = None, source: str = "") -> None:
        host, port = address.rsplit(":", 1)
        self.address, self.language, self.version, self.binary = address, language, version, binary
        self.key = key
        self.pushes: queue.Queue[Command] = queue.Queue()
        self.stray: list[Command] = []
        self.closed = threading.Event()
        self._waiting: dict[int, queue.Queue[Command]] = {}
        self._socket = socket.create_connection((host.strip("[]"), int(port)), timeout=5, source_address=(source, 0) if source else None)
        self._socket.settimeout(None)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lock = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def local_port(self) -> int:
        """The port at this end."""
        return int(self._socket.getsockname()[1])

    def begin(self, code: int, ext: dict[str, str] | None = None, body: bytes = b"", flag: int = 0) -> int:
        """Sends a request and returns its opaque; `finish` waits for the answer."""
        ext = dict(ext or {})
        if self.key:
            ext["AccessKey"] = self.key[0]
            ext["Signature"] = signature(ext, body, self.key[1])
        command = Command(code, ext, body, flag, next(opaques), None, self.language, self.version,
                          self.binary and code <= 0x7FFF)
        if not flag & ONEWAY:
            self._waiting[command.opaque] = queue.Queue()
        self.send(command.encode())
        return command.opaque

    def finish(self, opaque: int, seconds: float = 5) -> Command:
        """The answer to `opaque`; raises NoAnswer after `seconds`, Closed if the connection ended."""
        waiting = self._waiting[opaque]
        try:
            while True:
                try:
                    return waiting.get(timeout=min(0.05, seconds) if self.closed.is_set() else min(seconds, 0.25))
                except queue.Empty:
                    if self.closed.is_set():
                        raise Closed(self.address) from None
                    seconds -= 0.25
                    if seconds <= 0:
                        raise NoAnswer(f"opaque {opaque} at {self.address}") from None
        finally:
            del self._waiting[opaque]

    def call(self, code: int, ext: dict[str, str] | None = None, body: bytes = b"", seconds: float = 5) -> Command:
        """Sends a request and waits for its answer."""
        return self.finish(self.begin(code, ext, body), seconds)

    def oneway(self, code: int, ext: dict[str, str] | None = None, body: bytes = b"") -> None:
        """Sends a request that must not be answered."""
        self.begin(code, ext, body, ONEWAY)

    def answer(self, push: Command, code: int = 0, ext: dict[str, str] | None = None, body: bytes = b"") -> None:
        """Answers a request of the other side."""
        self.send(Command(code, ext or {}, body, ANSWER, push.opaque, None, self.language, self.version, self.binary).encode())

    def push(self, code: int, seconds: float = 5) -> Command:
        """The next request of the other side with `code`; others are left out."""
        while True:
            try:
                command = self.pushes.get(timeout=seconds)
            except queue.Empty:
                raise NoAnswer(f"push {code} at {self.address}") from None
            if command.code == code:
                return command

    def send(self, frame: bytes) -> None:
        """Writes bytes as they are."""
        with self._lock:
            self._socket.sendall(frame)

    def close(self) -> None:
        """Closes the connection."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()

    def local(self) -> str:
        """This side's address."""
        host, port = self._socket.getsockname()[:2]
        return f"{host}:{port}"

    def _read(self) -> None:
        try:
            while True:
                size, = struct.unpack(">I", self._exactly(4))
                command = decode(self._exactly(size))
                if not command.is_answer():
                    self.pushes.put(command)
                elif waiting := self._waiting.get(command.opaque):
                    waiting.put(command)
                else:
                    self.stray.append(command)
        except (OSError, Closed):
            self.closed.set()

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            chunk = self._socket.recv(min(size - len(data), 1 << 20))
            if not chunk:
                raise Closed(self.address)
            data += chunk
        return bytes(data)
