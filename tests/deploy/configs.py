"""Every config under examples/deploy passes `gimbal check`, and the manifests agree with it about ports."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

DEPLOY = Path("examples/deploy")
VIP_GAP = 2


def check(gimbal: str, folder: Path, name: str, text: str) -> None:
    """Checks a config as if its files lay where it says; those that operators make are made here."""
    home = folder / name
    home.mkdir()
    for path in re.findall(r'"(/(?:etc|var/lib)/gimbal[^"]*)"', text):
        ours = home / path.lstrip("/")
        text = text.replace(f'"{path}"', f'"{ours}"')
        if "token_path" in line_with(text, str(ours)):
            ours.parent.mkdir(parents=True, exist_ok=True)
            ours.write_text("0123456789abcdef0123456789abcdef\n")
            ours.chmod(0o600)
        else:
            ours.mkdir(parents=True, exist_ok=True)
    config = home / "gimbal.toml"
    config.write_text(text)
    done = subprocess.run([gimbal, "check", "-c", str(config)], capture_output=True, text=True, timeout=60)
    print(f"{name}: {done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr.strip()}")
    if done.returncode:
        sys.exit(f"{name}: gimbal check ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def line_with(text: str, part: str) -> str:
    """The first line of a text that holds a part."""
    return next(line for line in text.splitlines() if part in line)


def manifests() -> dict[tuple[str, str], dict]:
    """The manifests by kind and name."""
    documents = yaml.safe_load_all((DEPLOY / "kubernetes" / "gimbal.yaml").read_text())
    return {(one["kind"], one["metadata"]["name"]): one for one in documents}


def ports_agree(found: dict[tuple[str, str], dict]) -> None:
    """Each port that clients are told, and the one two below it, is a port of the container and of the Service."""
    config = tomllib.loads(found["ConfigMap", "gimbal-config"]["data"]["gimbal.toml"])
    [listener] = config["listener"]
    told = [int(listener["bind"].rsplit(":", 1)[1]), *listener["brokers"].values()]
    wanted = sorted(port for one in told for port in (one, one - VIP_GAP))
    [container] = found["Deployment", "gimbal"]["spec"]["template"]["spec"]["containers"]
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    admin = int(config["admin"]["bind"].rsplit(":", 1)[1])
    assert named.pop("admin") == admin, f"the admin port is {admin} in the config"
    assert sorted(named.values()) == wanted, f"ports of the container: {sorted(named.values())}, of the config: {wanted}"
    service = {port["targetPort"]: port["port"] for port in found["Service", "gimbal"]["spec"]["ports"]}
    assert service == named, f"ports of the Service: {service}, of the container: {named}"


def grace_is_enough(found: dict[tuple[str, str], dict]) -> None:
    """Kubernetes waits longer than Gimbal takes to leave."""
    drain = tomllib.loads(found["ConfigMap", "gimbal-config"]["data"]["gimbal.toml"])["drain"]
    needed = sum(int(drain[name].removesuffix("s")) for name in ("delay", "deadline"))
    grace = found["Deployment", "gimbal"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > needed, f"terminationGracePeriodSeconds is {grace}, drain takes {needed} s"


def main() -> None:
    """Checks everything; the first mistake ends it."""
    gimbal, folder = sys.argv[1], Path(sys.argv[2])
    found = manifests()
    ports_agree(found)
    grace_is_enough(found)
    check(gimbal, folder, "systemd", (DEPLOY / "systemd" / "gimbal.toml").read_text())
    check(gimbal, folder, "kubernetes", found["ConfigMap", "gimbal-config"]["data"]["gimbal.toml"])


if __name__ == "__main__":
    main()
