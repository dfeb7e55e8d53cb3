"""The commit that a change is to be compared with, as the machine that runs the checks tells it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

# What GitHub writes of an event stays far below.
_MAX_BYTES = 32 << 20


def ci_base(environ: Mapping[str, str]) -> str | None:
    """The base of the pull request, merge group or merge request that this run is about.

    None for a run of another kind, and where the working folder lies outside of the checkout: what happens in
    a folder of its own is no part of that change.

    Args:
        environ: the process's environment.
    """
    if environ.get("GITHUB_ACTIONS") == "true":
        return _github(environ) if _inside(environ.get("GITHUB_WORKSPACE")) else None
    if environ.get("GITLAB_CI") == "true":
        base = environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA") or None
        return base if _inside(environ.get("CI_PROJECT_DIR")) else None
    return None


def _github(environ: Mapping[str, str]) -> str | None:
    event = environ.get("GITHUB_EVENT_NAME")
    if event == "pull_request":
        branch = environ.get("GITHUB_BASE_REF")
        return _entry(environ, "pull_request", "base", "sha") or (f"origin/{branch}" if branch else None)
    if event == "merge_group":
        return _entry(environ, "merge_group", "base_sha")
    return None


def _entry(environ: Mapping[str, str], *keys: str) -> str | None:
    """A text of the event's description, None if it is not there."""
    try:
        with open(environ.get("GITHUB_EVENT_PATH", ""), "rb") as stream:
            value: Any = json.loads(stream.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) and value else None


def _inside(folder: str | None) -> bool:
    if not folder:
        return False
    here, top = os.path.realpath(os.getcwd()), os.path.realpath(folder)
    return here == top or here.startswith(os.path.join(top, ""))
