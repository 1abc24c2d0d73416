"""The list of scenarios of the edge."""

from __future__ import annotations

from typing import Callable

from harness.field import Field

from . import balanced, secure

# Name, function, whether the short tier has it, whether it needs Gimbal.
EDGE: list[tuple[str, Callable[[Field], None], bool, bool]] = [
    ("tls", secure.clients, True, True), ("openssl", secure.openssl, True, True), ("haproxy", balanced.haproxy, True, True),
]
