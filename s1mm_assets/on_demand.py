"""Names of a package whose modules are imported when the names are first asked for.

A package's front door may offer what brings scipy, pdfium or pyarrow with it; importing Dagster's definitions, which
every run, worker and command does, should not wait for them.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module


def on_demand(package: str, names: Mapping[str, Sequence[str]]) -> Callable[[str], object]:
    """Return a package's `__getattr__`.

    Args:
        package: Its `__name__`.
        names: Module of the package → what it offers. No name may be that of a module: that one would be found.
    """
    homes = {name: module for module, offered in names.items() for name in offered}

    def __getattr__(name: str) -> object:  # noqa: N807
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found: object = getattr(import_module(f"{package}.{homes[name]}"), name)
        return found

    return __getattr__
