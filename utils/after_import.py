"""Do something once another package has been imported, without importing it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Collection
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def call_after_import(module: str, packages: Collection[str], function: Callable[[], None]) -> None:
    """Call a function when a module is loaded: at once if it is, else after the import that loads it.

    Args:
        module: Full name of the module to wait for.
        packages: Top-level packages that `function` imports from. It is called when none of their modules is half
            imported by the same thread, so that it never meets one.
        function: What to call; once. It must not raise, for it runs inside the import of somebody else. It takes the
            place of one that waits for the same, as when the caller is loaded again.
    """
    waits_for = (module, *packages)
    sys.meta_path[:] = [finder for finder in sys.meta_path if getattr(finder, "waits_for", None) != waits_for]
    if module in sys.modules:
        function()
    else:
        sys.meta_path.insert(0, _ImportWatcher(module, packages, function))


class _ImportWatcher(MetaPathFinder):
    """Finder that finds nothing itself, but counts which modules of some packages are being imported."""

    def __init__(self, module: str, packages: Collection[str], function: Callable[[], None]):
        self.module, self.packages, self.function = module, packages, function
        self.waits_for = (module, *packages)
        self.thread = threading.local()
        self.done = False

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec of a watched module with a loader that reports to this watcher."""
        if self.done or name.partition(".")[0] not in self.packages or getattr(self.thread, "is_asking", False):
            return None
        self.thread.is_asking = True  # another watcher would ask this one in turn
        try:
            others = (finder for finder in list(sys.meta_path) if finder is not self and hasattr(finder, "find_spec"))
            found = (finder.find_spec(name, path, target) for finder in others)
            spec = next((spec for spec in found if spec is not None), None)
        finally:
            self.thread.is_asking = False
        if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
            setattr(spec.loader, "exec_module", self._counted(spec.loader.exec_module))  # noqa: B010 - mypy
        return spec

    def _counted(self, exec_module: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
        def counted(module: ModuleType) -> None:
            self.thread.depth = getattr(self.thread, "depth", 0) + 1
            try:
                exec_module(module)
            finally:
                self.thread.depth -= 1
            if self.thread.depth == 0 and not self.done and self.module in sys.modules:
                self.done = True
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                self.function()

        return counted
