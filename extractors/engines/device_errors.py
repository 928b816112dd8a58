"""Recognises errors after which a device is unusable in this process, by the wording of drivers and libraries."""

from __future__ import annotations

import re

from extractors.engines.batches import is_out_of_memory

_BROKEN = re.compile(
    r"CUDA error|HIP error|device-side assert|CUDNN_STATUS_(INTERNAL_ERROR|EXECUTION_FAILED|MAPPING_ERROR)"
    r"|CUBLAS_STATUS_(?!ALLOC_FAILED)",
    re.IGNORECASE,
)


def is_device_broken(problem: BaseException | None) -> bool:
    """Whether an exception, or one that it came from, says that its device is broken rather than its input odd.

    After such an error every later call fails too, whatever it is given. Memory that ran out is no such error.
    """
    import torch

    accelerator_error = getattr(torch, "AcceleratorError", ())
    seen: set[int] = set()
    while problem is not None and id(problem) not in seen:
        if is_out_of_memory(problem):
            return False
        if isinstance(problem, accelerator_error) or _BROKEN.search(str(problem)):
            return True
        seen.add(id(problem))
        problem = problem.__cause__ or problem.__context__
    return False
