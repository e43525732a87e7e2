"""What is to be known of a large body before it is read as JSON: pure, linear, and in short steps.

`json` in C holds the interpreter for as long as one call takes. So these look at a body slice by slice, and
other threads get their turn in between.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from podium.errors import InvalidRequest

SLICE_BYTES = 256 * 1024
"""Some milliseconds of work."""

_QUOTE, _BACKSLASH, _COMMA, _LIST, _OBJECT = b'"\\,[{'

_VALUE_BYTES, _TEXT_BYTES, _LIST_BYTES, _OBJECT_BYTES = 32, 32, 80, 250
"""What Python stores for each beside its characters: measured, 24 to 32 for a number, 49 to 64 for a short
text, 72 for an empty list, 240 for an object of one key."""


def check_values(raw: bytes) -> None:
    """Raise InvalidRequest for a body of so many values that they take far more memory than its bytes.

    9.6 million objects fit into 64 MiB, and take 2.3 GB and eight seconds. What is no JSON is let through.
    """
    most = 2 * len(raw) + 32 * 1024 * 1024
    stored, inside = 0, 0
    for part in _unescaped(raw):
        bytes_ = np.frombuffer(part, np.uint8)
        quotes = np.cumsum(bytes_ == _QUOTE, dtype=np.uint8) + np.uint8(inside)
        outside = bytes_[quotes & 1 == 0]
        inside = int(quotes[-1] & 1) if len(quotes) else inside
        stored += int(
            _VALUE_BYTES * np.count_nonzero(outside == _COMMA)
            + _TEXT_BYTES * np.count_nonzero(outside == _QUOTE)
            + _LIST_BYTES * np.count_nonzero(outside == _LIST)
            + _OBJECT_BYTES * np.count_nonzero(outside == _OBJECT)
        )
        if stored > most:
            raise InvalidRequest(
                f"the body has too many small values: its {len(raw)} bytes would take more than {most} in "
                "memory; send fewer documents a request, and no fields that are not ranked"
            )


def mend_surrogates(raw: bytes) -> bytes | bytearray:
    """Return a body with U+FFFD for each half of a surrogate pair that lacks its other half.

    It is `raw` itself where there is none.
    """
    mended: bytearray | None = None
    high_before = -12
    """Where the last escape of a high surrogate begins; before the body at first."""
    for start, end in _slices(raw):
        # A pair may lie across the end: as much is looked at as its second half has.
        scan = _without_backslashes(raw[start : end + 12])
        codes = np.frombuffer(scan, np.uint8)
        at = np.flatnonzero(codes[: end - start] == _BACKSLASH)
        kinds = _surrogates(codes, at)
        highs, lows = at[kinds == _HIGH], at[kinds == _LOW]
        answered = _surrogates(codes, highs + 6) == _LOW
        begun = np.isin(lows - 6, highs) | (lows - 6 == high_before - start)
        halves = np.concatenate([highs[~answered], lows[~begun]])
        if len(highs):
            high_before = start + int(highs[-1])
        if len(halves):
            mended = bytearray(raw) if mended is None else mended
            view = np.frombuffer(mended, np.uint8)
            for offset, digit in enumerate(b"fffd", 2):
                view[halves + start + offset] = digit
    return raw if mended is None else mended


_HIGH, _LOW = 1, 2
_HEX = np.isin(np.arange(256), list(b"0123456789abcdefABCDEF"))
_KINDS = np.zeros(256, np.uint8)
"""By the first digit behind `\\ud`."""
_KINDS[list(b"89abAB")] = _HIGH
_KINDS[list(b"cdefCDEF")] = _LOW


def _surrogates(codes: NDArray[np.uint8], at: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Return for each place whether a high or a low surrogate is escaped there, or 0."""
    kinds = np.zeros(len(at), np.uint8)
    fits = at + 6 <= len(codes)
    first = at[fits]
    escaped = (codes[first] == _BACKSLASH) & (codes[first + 1] == ord("u"))
    escaped &= (codes[first + 2] | 32) == ord("d")  # or D
    escaped &= _HEX[codes[first + 4]] & _HEX[codes[first + 5]]
    kinds[fits] = _KINDS[codes[first + 3]] * escaped
    return kinds


def _unescaped(raw: bytes) -> Iterator[bytes]:
    """Yield a body slice by slice, without escaped backslashes and quotes."""
    for start, end in _slices(raw):
        yield raw[start:end].replace(b"\\\\", b"").replace(b'\\"', b"")


def _without_backslashes(raw: bytes) -> bytes:
    """Return JSON of the same length in which each backslash begins an escape."""
    return raw.replace(b"\\\\", b"  ")


def _slices(raw: bytes) -> Iterator[tuple[int, int]]:
    """Yield where slices begin and end; none ends between a backslash and what it escapes."""
    start = 0
    while start < len(raw):
        end = min(start + SLICE_BYTES, len(raw))
        part = raw[start:end]
        if end < len(raw) and (len(part) - len(part.rstrip(b"\\"))) % 2:
            end -= 1
        yield start, end
        start = end
