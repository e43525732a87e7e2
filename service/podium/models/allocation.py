"""Keep freed memory in the process: glibc hands large blocks back to the kernel and gets them again, page by
page, at every batch.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_MMAP_THRESHOLD = 32 * 1024 * 1024
"""glibc refuses more on 64 bits."""
_TRIM_THRESHOLD = 1 << 30


def keep_freed_memory() -> None:
    """Raise glibc's thresholds; does nothing where the C library is another one, which has its own ways."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD)
