"""The version of the package, which pyproject.toml and CITATION.cff state too."""

__version__ = "0.2.0"
