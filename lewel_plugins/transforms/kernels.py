"""Inner loops of :mod:`uint8`, compiled by numba: passes over planes of 8 bits that no library makes in one.

A kernel is compiled once, for one signature, by :func:`compile_kernels`, and then kept on the disk: beside this file,
or in the user's cache folder where that is not writable. They release the GIL and start no threads.
"""

import math
from collections.abc import Callable

import numpy as np
from numba import njit, types

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)

# ITU-R 601-2 luma, as in PIL and torchvision; here for BGR.
_LUMA = (0.114, 0.587, 0.2989)
_BLUE, _GREEN, _RED = (np.float32(weight) for weight in _LUMA)
_ZERO, _HALF, _ONE, _TOP = (np.float32(value) for value in (0, 0.5, 1, 255))
_BITS = 22
_ROUND = 1 << (_BITS - 1)
# Pixels that are worked on at once, in float32: they stay in the first cache.
_CHUNK = 1024
# Numbers are neither NaN nor infinite, and products may be fused with sums. Sums keep their order.
_FAST = {'nnan', 'ninf', 'nsz', 'contract'}

_inner = njit(nogil=True, cache=True)
_fast = njit(nogil=True, cache=True, fastmath=_FAST)


def _taps(n: int) -> Callable:
    """Weighted sum of ``n`` rows: a constant number of taps is unrolled, so that sums stay in registers."""

    @_inner
    def weighted_sum(rows, first, weights, scale, out):  # type: ignore[no-untyped-def]
        for i in range(out.shape[0]):
            total = np.int32(0)
            for k in range(n):
                total = np.int32(total + np.int32(np.int32(rows[first + k, i]) * np.int32(weights[k])))
            total = np.int32(np.int32(total * scale) + np.int32(_ROUND)) >> _BITS
            out[i] = np.uint8(min(max(total, 0), 255))

    return weighted_sum


_sum_2, _sum_4, _sum_6, _sum_8, _sum_10 = (_taps(n) for n in (2, 4, 6, 8, 10))


@_inner
def _sum_any(rows, first, taps, weights, scale, out, totals):  # type: ignore[no-untyped-def]
    totals[:] = 0
    for k in range(taps):
        weight = np.int32(weights[k])
        for i in range(out.shape[0]):
            totals[i] = np.int32(totals[i] + np.int32(np.int32(rows[first + k, i]) * weight))
    for i in range(out.shape[0]):
        total = np.int32(np.int32(totals[i] * scale) + np.int32(_ROUND)) >> _BITS
        out[i] = np.uint8(min(max(total, 0), 255))


@_inner
def _filter_value(x, cubic):  # type: ignore[no-untyped-def]
    """Pillow's triangle, or Keys' cubic with a = −1/2."""
    if not cubic:
        return max(1 - x, 0.0)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * -0.5 if x < 2 else 0.0


@_inner
def _resize_weights(n_in, n_out, cubic):  # type: ignore[no-untyped-def]
    """First row and number of rows of each result, weights of 16 bits, and what brings sums to 22 bits of fraction.

    Support, weights and rounding are those of torch's and Pillow's anti-aliased resizing.
    """
    ratio = n_in / n_out
    stretch = max(ratio, 1.0)
    shrink = 1 / stretch
    support = (2 if cubic else 1) * stretch
    most = 2 * math.ceil(support) + 1
    first, count = np.zeros(n_out, np.int64), np.zeros(n_out, np.int64)
    exact = np.empty((n_out, most))
    largest = 0.0
    for i in range(n_out):
        centre = ratio * (i + 0.5)
        first[i] = max(int(centre - support + 0.5), 0)
        count[i] = min(min(int(centre + support + 0.5), n_in) - first[i], most)
        total = 0.0
        for j in range(count[i]):
            exact[i, j] = _filter_value(abs((j + first[i] - centre + 0.5) * shrink), cubic)
            total += exact[i, j]
        for j in range(count[i]):
            exact[i, j] /= total
            largest = max(largest, exact[i, j])
    bits = 0
    while bits < _BITS and int(0.5 + largest * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    unit = float(1 << bits)
    weights = np.zeros((n_out, most + 1), np.int16)
    for i in range(n_out):
        for j in range(count[i]):
            value = exact[i, j] * unit
            weights[i, j] = np.int16(value - 0.5 if value < 0 else value + 0.5)
    return first, count, weights, np.int32(1 << (_BITS - bits))


@_inner
def resize_rows(planes, out, cubic, reverse):  # type: ignore[no-untyped-def]
    """Resize along the second axis, (c, n, m) to (c, size, m), anti-aliased; last row first if ``reverse``."""
    n, size = planes.shape[1], out.shape[1]
    starts, counts, weights, scale = _resize_weights(n, size, cubic)
    totals = np.empty(out.shape[2], np.int32)
    for channel in range(len(planes)):
        rows = planes[channel]
        for i in range(size):
            start, taps, line = starts[i], counts[i], out[channel, size - 1 - i if reverse else i]
            if start + taps < n:
                taps += taps % 2  # an even number of taps, the last of weight 0
            if taps == 2:
                _sum_2(rows, start, weights[i], scale, line)
            elif taps == 4:
                _sum_4(rows, start, weights[i], scale, line)
            elif taps == 6:
                _sum_6(rows, start, weights[i], scale, line)
            elif taps == 8:
                _sum_8(rows, start, weights[i], scale, line)
            elif taps == 10:
                _sum_10(rows, start, weights[i], scale, line)
            else:
                _sum_any(rows, start, taps, weights[i], scale, line, totals)


@_fast
def _load(pixels, out):  # type: ignore[no-untyped-def]
    for i in range(out.shape[0]):
        out[i] = np.float32(np.int32(pixels[i]))


@_fast
def _round(values, out):  # type: ignore[no-untyped-def]
    for i in range(out.shape[0]):
        # The bounds never hold; with them the compiler packs bytes at once.
        out[i] = np.uint8(min(max(np.int32(values[i] + _HALF), np.int32(0)), np.int32(255)))


@_fast
def _clamp(value):  # type: ignore[no-untyped-def]
    return min(max(value, _ZERO), _TOP)


@_fast
def _blend(values, factor, other):  # type: ignore[no-untyped-def]
    for i in range(values.shape[0]):
        values[i] = _clamp(factor * values[i] + other)


@_fast
def _saturate(blue, green, red, factor):  # type: ignore[no-untyped-def]
    rest = _ONE - factor
    for i in range(blue.shape[0]):
        other = rest * (_BLUE * blue[i] + _GREEN * green[i] + _RED * red[i])
        blue[i] = _clamp(factor * blue[i] + other)
        green[i] = _clamp(factor * green[i] + other)
        red[i] = _clamp(factor * red[i] + other)


@_fast
def _turned(x, y, z, low, high, move):  # type: ignore[no-untyped-def]
    to_go = max(max(x - max(y, z), min(y, z) - x), _ZERO)
    step = max(move - to_go, _ZERO)
    return max(x - step, low) if y > z else min(x + step, high)


@_fast
def _turn_hue(x, y, z, sixths):  # type: ignore[no-untyped-def]
    """Turn from x towards y by a number of sixths of the circle in [0, 1].

    A channel X, with the next channel Y and the one after it, Z, moves by e = max(0, sixths · (max − min) − distance
    from X to [Y, Z]): down to the pixel's minimum at most where Y > Z, otherwise up to its maximum at most. (The
    distance is what X, as the largest or the smallest, has still to go before it changes.)
    """
    for i in range(x.shape[0]):
        a, b, c = x[i], y[i], z[i]
        low, high = min(min(a, b), c), max(max(a, b), c)
        move = sixths * (high - low)
        x[i] = _turned(a, b, c, low, high, move)
        y[i] = _turned(b, c, a, low, high, move)
        z[i] = _turned(c, a, b, low, high, move)


@_inner
def _sum(pixels):  # type: ignore[no-untyped-def]
    total = np.int32(0)
    for i in range(pixels.shape[0]):
        total = np.int32(total + np.int32(pixels[i]))
    return total


@_inner
def _mean_luma(planes):  # type: ignore[no-untyped-def]
    mean = 0.0
    for channel in range(3):
        total = 0
        for start in range(0, planes.shape[1], _CHUNK):
            total += _sum(planes[channel, start : start + _CHUNK])
        mean += _LUMA[channel] * total / planes.shape[1]
    return np.float32(mean)


@_fast
def _adjust(planes, steps, grey):  # type: ignore[no-untyped-def]
    """One pass: ``steps``, of which only the first may be the contrast."""
    scratch = np.empty((3, _CHUNK), np.float32)
    rest = (_ONE - steps[0, 1]) * _mean_luma(planes) if len(steps) and steps[0, 0] == CONTRAST else _ZERO
    for start in range(0, planes.shape[1], _CHUNK):
        stop = min(start + _CHUNK, planes.shape[1])
        blue, green, red = scratch[0, : stop - start], scratch[1, : stop - start], scratch[2, : stop - start]
        _load(planes[0, start:stop], blue)
        _load(planes[1, start:stop], green)
        _load(planes[2, start:stop], red)
        for k in range(len(steps)):
            step, value = int(steps[k, 0]), steps[k, 1]
            if step == SATURATION:
                _saturate(blue, green, red, value)
            elif step == HUE:
                # A third of the circle renames the channels.
                thirds = round(3 * value)
                sixths = np.float32(6 * value - 2 * thirds)
                for _ in range(thirds % 3):
                    red, green, blue = blue, red, green
                if sixths < 0:
                    _turn_hue(red, blue, green, -sixths)
                else:
                    _turn_hue(red, green, blue, sixths)
            else:
                other = rest if step == CONTRAST else _ZERO
                _blend(blue, value, other)
                _blend(green, value, other)
                _blend(red, value, other)
        if grey:
            for i in range(stop - start):
                blue[i] = _BLUE * blue[i] + _GREEN * green[i] + _RED * red[i]
            _round(blue, planes[0, start:stop])
        else:
            _round(blue, planes[0, start:stop])
            _round(green, planes[1, start:stop])
            _round(red, planes[2, start:stop])


@_inner
def adjust_colours(planes, steps, grey):  # type: ignore[no-untyped-def]
    """Colour jitter and grey in place, (3, pixels): rounded at its end and before a contrast, which needs a mean.

    ``steps`` (k, 2) are numbers of operations and their factors or shifts. With ``grey`` only the first plane counts
    afterwards.
    """
    start = 0
    for k in range(1, len(steps)):
        if steps[k, 0] == CONTRAST:
            _adjust(planes, steps[start:k], False)
            start = k
    if len(steps) or grey:
        _adjust(planes, steps[start:], grey)


_MATRIX, _PLANES = types.Array(types.uint8, 2, 'C'), types.Array(types.uint8, 3, 'C')
_SIGNATURES = {
    resize_rows: types.void(_PLANES, _PLANES, types.boolean, types.boolean),
    adjust_colours: types.void(_MATRIX, types.Array(types.float32, 2, 'C'), types.boolean),
}


def compile_kernels() -> None:
    """Compile the kernels, or load them from the disk, unless this process has them; forked ones inherit them.

    Afterwards other types of arguments are errors: nothing compiles in the middle of an epoch.
    """
    for kernel, signature in _SIGNATURES.items():
        if not kernel.signatures:
            kernel.compile(signature)
            kernel.disable_compile()
