"""The list of scenarios for filters."""

from __future__ import annotations

from typing import Callable

from harness.field import Field

from . import access, bodies, live, sending, signing, tenants

# Name, function, whether the short tier has it, whether it needs Gimbal.
FILTERS: list[tuple[str, Callable[[Field], None], bool, bool]] = [
    ("throttled", sending.throttled, True, True), ("guarded", sending.guarded, False, True),
    ("acl-members", access.acl_members, True, True), ("acl-listed", access.acl_listed, False, True),
    ("rewritten", bodies.rewritten, False, True),
    ("redacted", bodies.redacted, False, True), ("reload-live", live.reload_live, True, True),
    ("tenants", tenants.tenants, True, True), ("signed", signing.signed, True, False),
]
