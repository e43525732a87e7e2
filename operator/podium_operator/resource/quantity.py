"""Kubernetes quantities: `1500m`, `10Gi`, `2e3`."""

import re
from decimal import Decimal, DecimalException

_FORM = re.compile(r"^([+-]?[0-9]*\.?[0-9]*)([eE][+-]?[0-9]+|[KMGTPE]i|[numkMGTPE]|)$")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_LARGEST = 2**63 - 1
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def parse_quantity(value: int | str) -> Decimal:
    """Return the number that a quantity stands for; ValueError where it is none, or more than one can be.

    Kubernetes stops at 2^63-1. Without that bound `1e999999` is a number whose digits take half a minute.
    """
    match = _FORM.match(str(value))
    if not match or not any(character.isdigit() for character in match[1]):
        raise ValueError(f"`{value}` is not a quantity: use a number with a suffix such as m, k, Mi or Gi")
    try:
        number = _scaled(Decimal(match[1]), match[2])
    except DecimalException:
        number = Decimal("Infinity")
    if not abs(number) <= _LARGEST:
        raise ValueError(f"`{value}` is out of a quantity's bounds: from -(2^63-1) to 2^63-1")
    return number


def _scaled(number: Decimal, suffix: str) -> Decimal:
    if suffix in _BINARY:
        return number * Decimal(1024 ** _BINARY[suffix])
    if suffix[:1] in ("e", "E") and len(suffix) > 1:
        return number.scaleb(int(suffix[1:]))
    return number.scaleb(_DECIMAL[suffix])


def same_quantity(left: object, right: object) -> bool:
    """Whether two values are quantities of the same size, such as `1024Mi` and `1Gi`."""
    if not isinstance(left, int | str) or not isinstance(right, int | str):
        return False
    try:
        return parse_quantity(left) == parse_quantity(right)
    except (ValueError, KeyError):
        return False
