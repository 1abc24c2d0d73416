"""Certificates made by openssl for one run."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Certificates:
    """A folder with an authority, and what it has issued."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=cluster suite",
                  "-keyout", str(self.path("ca.key")), "-out", str(self.authority))

    @property
    def authority(self) -> Path:
        """The certificate of the authority."""
        return self.path("ca.pem")

    def path(self, name: str) -> Path:
        """Where a file is."""
        return self.folder / name

    def issue(self, name: str, subject: str, names: str = "") -> tuple[Path, Path]:
        """A certificate for these names (`DNS:a,IP:b`) and its key."""
        certificate, key, request, extensions = (self.path(f"{name}.{ending}") for ending in ("pem", "key", "csr", "ext"))
        self._run("req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", str(key), "-out", str(request))
        extensions.write_text(f"subjectAltName={names}\n" if names else "basicConstraints=CA:FALSE\n")
        self._run("x509", "-req", "-in", str(request), "-CA", str(self.authority), "-CAkey", str(self.path("ca.key")), "-CAcreateserial",
                  "-days", "2", "-extfile", str(extensions), "-out", str(certificate))
        key.chmod(0o600)
        return certificate, key

    @staticmethod
    def _run(*words: str) -> None:
        done = subprocess.run(["openssl", *words], capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise RuntimeError(f"openssl {' '.join(words)}: {done.stderr}")
