"""What becomes of memory that tensors give back on a CPU."""

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # glibc's malloc.h
_KEPT = 2**31 - 1  # bytes
_PAD = 64 * 2**20
_LARGEST_ON_HEAP = 32 * 2**20  # the most that glibc allows


def keep_freed_memory() -> bool:
    """Let the process keep the memory it frees, as the next batch asks for as much; whether this system can.

    Otherwise large tensors' pages go back to the system and are cleared anew each time, a tenth of a step.
    """
    if not sys.platform.startswith("linux"):
        return False
    adjust = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    settings = ((_TRIM_THRESHOLD, _KEPT), (_TOP_PAD, _PAD), (_MMAP_THRESHOLD, _LARGEST_ON_HEAP))
    return adjust is not None and all(adjust(name, value) for name, value in settings)
