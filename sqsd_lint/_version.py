"""The one place that names the version and the repository; the build, `--version` and `init` read it."""

__version__ = "0.1.0"

# The account that the repository belongs to: `make owner NAME=...` writes it here and into every page and
# workflow that names it. A release is refused as long as it is not the account that releases.
OWNER = "OWNER"
REPOSITORY = f"https://github.com/{OWNER}/sqsd-lint"
