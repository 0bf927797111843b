"""The one place where optional packages are probed."""

import importlib.util


def is_installed(package: str) -> bool:
    """Return whether a package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def install_command(extra: str) -> str:
    """Return how an extra of this package is installed, from the registry and from a checkout."""
    return f"`pip install 'infinitedance[{extra}]'`, or `pip install '.[{extra}]'` in a checkout"


def require_extra(package: str, extra: str, feature: str) -> None:
    """Raise a clear error when an optional package is missing.

    Args:
        package: Import name of the package, for example `"av"`.
        extra: Name of the extra in `pyproject.toml` that installs it.
        feature: What the caller wanted to do, a noun phrase.

    Raises:
        ImportError: If `package` cannot be found.
    """
    if not is_installed(package):
        raise ImportError(f"{feature} needs the package `{package}`: {install_command(extra)}.")
