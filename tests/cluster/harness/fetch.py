"""What the suite needs from outside: server and client jars, compiled client programs, the Gimbal binary."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
REPO = HERE.parent.parent
SERVER = "5.5.0"
JAVA = ["5.5.0", "5.1.0", "5.0.0", "4.9.8", "4.9.4", "4.4.0"]
GO = {"v2.1.2": "go.mod", "newest": "newest.mod"}
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"


def execute(command: list[str], seconds: float, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """Runs a tool to its end; its output is shown only when it fails."""
    done = subprocess.run(command, cwd=cwd, timeout=seconds, capture_output=True, text=True,
                          env={**os.environ, **(env or {})}, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def jars(work: Path, name: str, artefacts: list[str]) -> Path:
    """A folder with the given `artefact:version`s of the group org.apache.rocketmq and all they depend on."""
    folder = work / "jars" / name
    mark = folder / ".complete"
    if mark.exists() and mark.read_text() == " ".join(artefacts):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    depends = "".join(
        f"<dependency><groupId>org.apache.rocketmq</groupId><artifactId>{a}</artifactId><version>{v}</version></dependency>"
        for a, v in (artefact.split(":") for artefact in artefacts))
    pom = work / "jars" / f"{name}.xml"
    pom.write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>suite</groupId>'
        f"<artifactId>suite</artifactId><version>1</version><dependencies>{depends}</dependencies></project>")
    execute(["mvn", "-q", "-B", "-f", str(pom), COPY, f"-DoutputDirectory={folder}", "-DincludeScope=runtime"], 600)
    mark.write_text(" ".join(artefacts))
    return folder


def server_jars(work: Path) -> Path:
    """The class path of name server, broker, mqadmin and the benchmark."""
    parts = ["namesrv", "broker", "tools", "example"]
    return jars(work, f"server-{SERVER}", [f"rocketmq-{part}:{SERVER}" for part in parts])


def java_client(work: Path, version: str) -> str:
    """The class path of the Java client program, compiled against the client of `version`."""
    parts = ["client"] if version.startswith("5.5") else ["client", "acl"]
    lib = jars(work, f"client-{version}", [f"rocketmq-{part}:{version}" for part in parts])
    classes = work / "classes" / version
    sources = sorted((HERE / "java").glob("*.java"))
    mark = classes / "Client.class"
    if not mark.exists() or mark.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        classes.mkdir(parents=True, exist_ok=True)
        execute(["javac", "-nowarn", "-encoding", "UTF-8", "-d", str(classes), "-cp", f"{lib}/*", *map(str, sources)], 240)
    return f"{classes}:{lib}/*"


def go_client(work: Path, version: str) -> Path:
    """The Go client program, built against the client of `version`; the Go tool does nothing when it is current."""
    binary = work / "go" / version
    binary.parent.mkdir(parents=True, exist_ok=True)
    command = ["go", "build", "-mod=readonly", f"-modfile={GO[version]}", "-tags", version.replace(".", ""), "-o", str(binary), "."]
    execute(command, 600, cwd=HERE / "go")
    return binary


def gimbal_binary(given: str | None) -> Path:
    """The binary under test: the one given, or the release build of this repository."""
    if given:
        return Path(given).resolve()
    execute(["cargo", "build", "--release", "--locked"], 1800, cwd=REPO)
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPO / "target"))
    return target / "release" / "gimbal"


def everything(work: Path, java: list[str], go: list[str]) -> None:
    """Fetches and compiles for all clients of a run, two at a time."""
    server_jars(work)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda version: java_client(work, version), java))
        list(pool.map(lambda version: go_client(work, version), go))
