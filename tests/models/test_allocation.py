import ctypes

from podium.models import allocation
from podium.models.allocation import keep_freed_memory


class Library:
    """A C library that notes what is set."""

    def __init__(self, *, has_mallopt: bool) -> None:
        self.set: dict[int, int] = {}
        if has_mallopt:
            self.mallopt = self.set.__setitem__


def test_glibc_is_told_to_keep_large_blocks(monkeypatch):
    library = Library(has_mallopt=True)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    monkeypatch.setattr(allocation.sys, "platform", "linux")
    keep_freed_memory()
    assert library.set == {-3: 32 * 1024 * 1024, -1: 1 << 30}


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library(has_mallopt=False))
    monkeypatch.setattr(allocation.sys, "platform", "linux")
    keep_freed_memory()
