"""A real HAProxy in front of Gimbal that says whom connections are from."""

from __future__ import annotations

import shutil
import socket
import time

from harness.clients import Result
from harness.field import Field
from harness.process import NotReady, Process

from filtering.scene import Scene

from .certificates import Certificates

# HAProxy connects from here, and nobody else is believed.
BALANCER = "127.0.0.8"
RULES = f"""
[config]
default = "allow"

[[config.rules]]
name = "the balancer is no client"
effect = "deny"
actions = ["publish", "subscribe"]
addresses = ["{BALANCER}/32"]
topics = ["*"]
"""
FORMS = {"v1": "send-proxy", "v2": "send-proxy-v2", "v2 ssl": "send-proxy-v2-ssl-cn"}


def configuration(form: str, ports: list[str], target: str, secure: str) -> str:
    """Every port of the advertised address leads to the same port of Gimbal."""
    binds = "\n".join(f"    bind 127.0.0.1:{port} {secure}" for port in ports)
    return f"""
global
    maxconn 2000
defaults
    mode tcp
    timeout connect 5s
    timeout client 5m
    timeout server 5m
frontend clients
{binds}
    default_backend gimbal
backend gimbal
    source {BALANCER}
    server one {target} {FORMS[form]}
"""


def haproxy(f: Field) -> None:
    """PROXY headers of versions 1 and 2: filters see clients, who are let in, and not the balancer, who would be denied."""
    binary = shutil.which("haproxy") or "/usr/sbin/haproxy"
    certificates = Certificates(f.work / "certificates")
    certificate, key = certificates.issue("balancer", "/CN=balancer", "DNS:localhost,IP:127.0.0.1")
    bundle = certificates.path("balancer.bundle")
    bundle.write_text(certificate.read_text() + key.read_text())
    for form in FORMS:
        name = f"haproxy-{form.replace(' ', '-')}"
        believed = f'proxy_protocol = ["{BALANCER}"]\n'
        scene = Scene(f, name, sections={"main": believed}, listeners=("main",))
        # Clients are told 127.0.0.1, where HAProxy is.
        scene.gimbal.host = "127.0.0.2"
        with scene:
            scene.put("10-acl", RULES)
            scene.start("10-acl")
            first = scene.gimbal.first
            ports = [str(scene.gimbal.port), str(scene.gimbal.port - 2), f"{first + 6}-{first + 63}"]
            path = scene.gimbal.home / "haproxy.cfg"
            path.write_text(configuration(form, ports, scene.gimbal.host, f"ssl crt {bundle}" if form == "v2 ssl" else ""))
            balancer = Process(name, [binary, "-db", "-f", str(path)], scene.gimbal.home / "haproxy.log")
            try:
                reachable(scene.gimbal.port, balancer)
                for client in ("5.5.0", "4.9.4"):
                    tls = form == "v2 ssl"
                    # Under TLS the pull scenario of 4.9.4 sends to a queue that its topic lacks (code 29); whether it does so direct
                    # is not known yet.
                    scenarios = ["sync", "members"] if tls and client == "4.9.4" else ["sync", "members", "pull"]
                    running = scene.begin(client, scenarios, limit=150, j=3, tls=tls)
                    for scenario, result in running.finish().items():
                        scene.note(f"haproxy {form}: {scenario}", client, result, running)
                f.table.put(f"haproxy {form}: forged", "raw", "gimbal", forged(scene.gimbal.address))
            finally:
                balancer.stop(9)


def reachable(port: int, balancer: Process, seconds: float = 10) -> None:
    """Waits until HAProxy listens."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and balancer.running():
        try:
            socket.create_connection(("127.0.0.1", port), 2).close()
            return
        except OSError:
            time.sleep(0.05)
    raise NotReady(f"HAProxy does not listen; see {balancer.log}")


def forged(address: str) -> Result:
    """Somebody else than the balancer sends a header, and is closed without an answer."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), 5) as link:
        link.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n")
        link.settimeout(10)
        try:
            said = link.recv(100)
        except ConnectionResetError:
            said = b""
        except TimeoutError:
            return {"ok": False, "why": "the connection stays open"}
    return {"ok": not said, "why": f"answered {said!r}"}
