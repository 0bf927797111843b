"""The one place where optional packages are probed."""

import importlib.util


def require_extra(package: str, extra: str, feature: str) -> None:
    """Raise a clear error when an optional package is missing.

    Args:
        package: Import name of the package, for example `"av"`.
        extra: Name of the extra in `pyproject.toml` that installs it.
        feature: What the caller wanted to do, a noun phrase.

    Raises:
        ImportError: If `package` cannot be found.
    """
    if importlib.util.find_spec(package) is None:
        raise ImportError(
            f"{feature} needs the package `{package}`: install it with `pip install 'infinitedance[{extra}]'`."
        )
