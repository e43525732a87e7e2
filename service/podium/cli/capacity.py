"""How many pods a load needs, and how long its requests take there: pure, from the seconds of one request."""

import math

import numpy as np
from numpy.typing import NDArray

SIMULATED = 200_000
"""Requests of a simulation: the 95th percentile of two of them differs by less than 2 % at 80 % load."""

SLACK_BYTES = 800 << 20
"""What a pod takes above its first minute: oneDNN keeps a product for each length of batch that it met
(docs/speed.md, Memory)."""


def pods(rate: float, request_s: float, busy: float) -> int:
    """Return the least number of pods of which each works at most the share `busy` of its time.

    `rate` are requests a second of all together, `request_s` the model's seconds of one.
    """
    # Rounded first: 0.7 of ten pods is seven pods' work, whatever the last digit of the product says.
    return max(1, math.ceil(round(rate * request_s / busy, 9)))


def latencies(rate: float, request_s: float) -> NDArray[np.float64]:
    """Return the seconds from arrival to answer of SIMULATED requests to one pod, in ascending order.

    They arrive at random, `rate` a second, and each keeps the model busy for `request_s`, in turn.
    """
    gaps = np.random.default_rng(0).exponential(1 / rate, SIMULATED)
    # Lindley: a request waits for what was left of the work when the one before came, less the gap between.
    work = np.cumsum(request_s - gaps)
    waits = work - np.minimum.accumulate(work)
    return np.asarray(np.sort(waits + request_s))
