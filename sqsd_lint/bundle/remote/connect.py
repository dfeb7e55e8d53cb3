"""From an address to its files, with errors that name the address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from sqsd_lint.bundle.remote.address import Address
from sqsd_lint.bundle.remote.files import PATIENCE, TRY_AGAIN, Remote, first_line
from sqsd_lint.errors import BundleError, BundleNotFoundError, SqsdLintError


def connect(address: Address) -> Remote:
    """Return the bundle at an address; a branch or tag of the Hub is pinned to the commit that it names now.

    Raises:
        BundleError: it cannot be reached, or the client of such a store is not installed.
    """
    with reaching(address):
        if address.on_hub:
            from sqsd_lint.bundle.remote.hub import connect_hub

            return connect_hub(address)
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]

        # A listing that was read before may be older than the bundle.
        files, root = url_to_fs(address.url, use_listings_cache=False, **_options(address))
        return Remote(address, files, root)


def _options(address: Address) -> dict[str, Any]:
    """Return what a store's client is told besides."""
    if not address.url.startswith("https://"):
        return {}
    # It would give up on a file that takes longer than five minutes, however fast it comes.
    timeout = import_module("aiohttp").ClientTimeout(total=None, sock_connect=PATIENCE, sock_read=PATIENCE)
    return {"client_kwargs": {"timeout": timeout}}


@contextmanager
def reaching(address: Address, doing: str = "fetched") -> Iterator[None]:
    """Turn what a store's client raises into an error that says what to do.

    Args:
        doing: what cannot be done if it fails, "fetched" or "written".
    """
    try:
        yield
    except SqsdLintError:
        raise
    # Every client has its own errors, and those of the HTTP library beneath it; none share a base class.
    except Exception as error:
        if address.on_hub:
            from sqsd_lint.bundle.remote.hub import explained

            raise explained(error, address, doing) from error
        raise _explained(error, address, doing) from error


def _explained(error: Exception, address: Address, doing: str) -> BundleError:
    if isinstance(error, ImportError):
        return BundleError(f"{address}: {first_line(error)}", hint="install that store's client with pip")
    if isinstance(error, FileNotFoundError):
        return BundleNotFoundError(f"{address}: there is no bundle: {first_line(error)}", hint=TRY_AGAIN)
    if isinstance(error, PermissionError):
        return BundleError(
            f"{address}: access is denied: {first_line(error)}",
            hint="give the store's client credentials that may read it (and write it, for a push)",
        )
    return BundleError(f"{address} cannot be {doing}: {first_line(error)}", hint=TRY_AGAIN)
