"""Lets a CUDA build of torchvision load beside a CPU build of torch: put this folder on PYTHONPATH.

torchvision declares its operators in a compiled library that such a pair cannot load; declared here first,
the import goes through, and nothing that uses them is called.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_LIBRARIES: list[object] = []  # what a torch library declares goes with it


class _BeforeTorchvision(MetaPathFinder):
    """Finds nothing; waits for torchvision, so that no process loads torch that would not have."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the import system passes it
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            _declare_operators()
        return None


def _declare_operators() -> None:
    import torch

    if torch.version.cuda is not None:
        return
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _LIBRARIES.append(library)


if not any(type(each).__name__ == _BeforeTorchvision.__name__ for each in sys.meta_path):
    sys.meta_path.insert(0, _BeforeTorchvision())
