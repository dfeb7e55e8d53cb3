"""The Hub, through its own client: revisions pinned to commits, its errors explained, one commit per push."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqsd_lint.bundle.manifest import MANIFEST
from sqsd_lint.bundle.remote.address import Address
from sqsd_lint.bundle.remote.files import Remote, first_line
from sqsd_lint.errors import BundleError, BundleNotFoundError, UsageError

CARD = "README.md"
_TOKEN = "log in with `hf auth login`, or set HF_TOKEN"


def connect_hub(address: Address) -> Remote:
    """Return a repository at the commit that the revision, else the default branch, names now."""
    from huggingface_hub import HfApi, HfFileSystem

    info = HfApi().model_info(address.repository, revision=address.revision, files_metadata=True)
    pinned = address.at(info.sha)
    sizes = {file.rfilename: file.size for file in info.siblings or () if file.size is not None}
    # Without its memory of earlier listings, which another token or another time may have made.
    files = HfFileSystem(skip_instance_cache=True)
    return Remote(pinned, files, f"{address.repository}@{info.sha}", sizes)


def push_hub(
    address: Address,
    files: Mapping[str, Path],
    card: str,
    *,
    private: bool = True,
    force: bool = False,
    message: str,
) -> Address:
    """Write a bundle to a repository, in one commit; files of an older bundle that this one lacks go.

    Args:
        files: what to upload, by path in the repository.
        private: of a repository that is made here; one that exists stays as it is.
        force: also into a repository that holds something else than a bundle.

    Returns:
        The address at the new commit.

    Raises:
        UsageError: the repository holds something else; the revision is a commit.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.errors import RevisionNotFoundError

    api, name = HfApi(), address.repository
    api.create_repo(name, private=private, exist_ok=True)
    branch = address.revision
    if branch:
        try:
            api.model_info(name, revision=branch)
        except RevisionNotFoundError:
            api.create_branch(name, branch=branch)
    there = {file.rfilename for file in api.model_info(name, revision=branch).siblings or ()}
    ours = {MANIFEST, CARD, ".gitattributes"}
    if there - ours and MANIFEST not in there and not force:
        raise UsageError(
            f"{address} holds something else than a bundle ({min(there - ours)}); nothing was written",
            hint="name another repository, or add the bundle to it with --force",
        )
    operations: list[Any] = [CommitOperationAdd(inner, str(path)) for inner, path in files.items()]
    operations.append(CommitOperationAdd(CARD, card.encode("utf-8")))
    if MANIFEST in there:
        stale = {file for file in there - ours - set(files) if file.split("/")[0] in _FOLDERS}
        operations += [CommitOperationDelete(file) for file in sorted(stale)]
    with warnings.catch_warnings():
        # It takes the calibration, a Parquet file, for a data set that went astray.
        warnings.filterwarnings("ignore", category=UserWarning, module="huggingface_hub")
        done = api.create_commit(name, operations, commit_message=message, revision=branch)
    return address.at(done.oid)


# Where a bundle keeps its weights; anything else in a repository belongs to its owner.
_FOLDERS = ("base", "initial", "danger", "safety")


def explained(error: Exception, address: Address, doing: str) -> BundleError:
    """Return what the Hub's client said, as an error that says what to do.

    Args:
        doing: what cannot be done, "fetched" or "written".
    """
    from huggingface_hub import constants, errors

    name, page = address.repository, f"https://huggingface.co/{address.repository}"
    if isinstance(error, (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError)):
        why = "is switched off (HF_HUB_OFFLINE)" if constants.HF_HUB_OFFLINE else "cannot be reached"
        return BundleError(
            f"{address}: the Hub {why} and not all that is needed of it is in the cache",
            hint=f"run the same command, or `sqsd-lint bundle pull {address}` for a bundle, once with the"
            " network; or name a folder",
        )
    if isinstance(error, errors.GatedRepoError):
        return BundleError(
            f"{address}: access to this repository has to be granted by its owner",
            hint=f"ask for it on {page}, then {_TOKEN}",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return BundleNotFoundError(
            f"{address}: there is no repository {name} on the Hub, or your token may not see it",
            hint=f"check the name; for a private repository {_TOKEN}",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return BundleNotFoundError(
            f"{address}: the repository {name} has no revision {address.revision!a}",
            hint="name a branch, tag or commit that is there; a locked one that is gone needs"
            " `sqsd-lint lock --upgrade`",
        )
    if isinstance(error, (errors.EntryNotFoundError, FileNotFoundError)):
        return BundleNotFoundError(
            f"{address}: a file of the bundle is not there: {first_line(error)}",
            hint="push the bundle again: `sqsd-lint bundle push`",
        )
    if isinstance(error, errors.HFValidationError):
        return BundleError(f"{address}: {first_line(error)}")
    status = _status(error)
    if status in (401, 403):
        need = "may write to" if doing == "written" else "may read"
        return BundleError(
            f"{address} cannot be {doing}: the Hub refuses ({status})",
            hint=f"{_TOKEN}, with a token that {need} {name}",
        )
    if status == 429:
        return BundleError(
            f"{address} cannot be {doing}: the Hub has had too many requests from here (429)",
            hint=f"wait some minutes; {_TOKEN} for a higher limit",
        )
    if status:
        return BundleError(
            f"{address} cannot be {doing}: the Hub answers {status}: {first_line(error)}",
            hint="try again later; the same command goes on where it stopped",
        )
    return BundleError(
        f"{address} cannot be {doing}: {first_line(error)}",
        hint="check the network and HF_ENDPOINT; the same command goes on where it stopped",
    )


def _status(error: Exception) -> int | None:
    """Return the HTTP status of an answer; None where there was no answer."""
    found = getattr(getattr(error, "response", None), "status_code", None)
    return found if isinstance(found, int) else None
