"""What the tests of a policy's commit share."""

from __future__ import annotations

from typing import Any

from sqsd_lint.config import Settings
from sqsd_lint.discover.git.config_at_ref import settings_at
from sqsd_lint.discover.git.policy_ref import PolicyRef


def load(ref: str = "HEAD", cli: dict[str, Any] | None = None, **options: Any) -> tuple[Settings, str]:
    policy = PolicyRef(ref)
    try:
        resolved, note = settings_at(policy, cli or {}, environ=options.pop("environ", {}), **options)
        return resolved.settings, note
    finally:
        policy.close()
