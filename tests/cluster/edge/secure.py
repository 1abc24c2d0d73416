"""TLS towards real clients and towards openssl."""

from __future__ import annotations

import subprocess

from harness.clients import Result
from harness.field import Field
from harness.gimbal import Gimbal
from harness.wire import Command

from .certificates import Certificates

PLAN = {"5.5.0": ["sync", "order", "tx", "members", "big"], "4.9.8": ["sync", "big", "retry", "pull"],
        "Go newest": ["sync", "order", "members", "big"]}
MORE = {"4.9.4": ["sync", "order", "members", "big", "tx"], "5.1.0": ["sync", "retry", "tx"]}


def section(certificates: Certificates, *own: str, more: str = "") -> str:
    """The TLS of a listener that takes nothing else."""
    listed = ", ".join(f'{{ certificate = "{certificates.path(name)}.pem", key = "{certificates.path(name)}.key" }}' for name in own)
    return f'[listener.tls]\nmode = "enforcing"\ncertificates = [{listed}]\n{more}'


def gimbal(f: Field, name: str, secure: str) -> Gimbal:
    """A Gimbal with a listener in clear, by which it is seen to be ready, and one under TLS."""
    return f.gimbal(name, listeners=("main", "secure"), sections={"secure": secure}).start()


def clients(f: Field) -> None:
    """Java and Go clients speak TLS with Gimbal alone; brokers and name server are reached in clear."""
    certificates = Certificates(f.work / "certificates")
    certificates.issue("own", "/CN=gimbal", "DNS:localhost,IP:127.0.0.1")
    instance = gimbal(f, "tls", section(certificates, "own"))
    address = f"127.0.0.1:{instance.port_of('secure')}"
    for name, scenarios in {**PLAN, **(MORE if f.full else {})}.items():
        running = f.begin(name, "gimbal", address, scenarios, limit=180, j=3, tls=True)
        for scenario, result in running.finish().items():
            if bypass := f.watch.bypasses.get(f"{name} ({running.process.log.stem})"):
                result.update(ok=False, why=f"went past Gimbal to ports {sorted(bypass)}")
            f.table.put(f"tls: {scenario}", name, "gimbal", result)
    instance.stop()


def s_client(address: str, *words: str, send: bytes = b"") -> tuple[bytes, str]:
    """What one `openssl s_client` got, and what it said."""
    command = ["openssl", "s_client", "-connect", address, "-quiet", "-no_ign_eof" if not send else "-ign_eof", *words]
    done = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = done.communicate(send, timeout=4)
    except subprocess.TimeoutExpired:
        # It was told not to leave at the end of its input, so that it waits for the answer.
        done.kill()
        out, err = done.communicate()
    return out, err.decode(errors="replace")


def openssl(f: Field) -> None:
    """openssl s_client: versions, names, certificates of its own, and a command answered."""
    certificates = Certificates(f.work / "certificates")
    certificates.issue("first", "/CN=first", "DNS:first.example.org,IP:127.0.0.1")
    certificates.issue("second", "/CN=second", "DNS:second.example.org")
    certificate, key = certificates.issue("client", "/O=Example/CN=orders")
    more = f'client_auth = "required"\nclient_ca = "{certificates.authority}"\n'
    instance = gimbal(f, "openssl", section(certificates, "first", "second", more=more))
    port = instance.port_of("secure")
    trusted = ["-CAfile", str(certificates.authority), "-verify_return_error"]
    own = ["-cert", str(certificate), "-key", str(key)]
    asked = Command(105, {"topic": "TBW102"}, b"", 0, 7).encode()
    for row, place, words, served in (
            ("TLS 1.3", port, ["-tls1_3", "-servername", "first.example.org", "-verify_hostname", "first.example.org", *own], True),
            ("TLS 1.2", port, ["-tls1_2", "-servername", "second.example.org", "-verify_hostname", "second.example.org", *own], True),
            ("port - 2", port - 2, [*own], True),
            ("another name", port, ["-servername", "third.example.org", "-verify_hostname", "third.example.org", *own], False),
            ("no certificate", port, ["-tls1_2"], False),
            ("TLS 1.1", port, ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0", *own], False)):
        out, err = s_client(f"127.0.0.1:{place}", *trusted, *words, send=asked)
        got = b'"opaque":7' in out and b"brokerDatas" in out
        result: Result = {"ok": got == served, "why": f"served: {got}; openssl said {err[-300:]!r}"}
        f.table.put(f"openssl: {row}", "openssl", "gimbal", result)
    instance.stop()
