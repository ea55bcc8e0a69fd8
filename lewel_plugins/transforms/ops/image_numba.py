"""Inner loops of :mod:`image`, compiled by numba: passes over 8-bit planes that no library combines into one.

README.md beside this file gives the reasons and the figures.

:func:`compile_kernels` compiles each kernel once, for one signature. This takes some ten seconds. The result is cached
on disk beside this file, or in the user's cache folder where that folder is not writable. Kernels release the GIL and
start no threads.

The functions marked ``intrinsic`` spell out for LLVM what numba's compiler does not find by itself: numba multiplies
16-bit numbers as 32-bit ones, in half as many lanes and with several instructions. An intrinsic works on vectors of 16
lanes, which LLVM maps to the processor's instructions (AVX2, SSE2, NEON). It takes addresses and lines of at least
``LANES`` pixels; the last vector of a line ends where the line ends and may overlap the one before. All intrinsics are
in this file because numba's cache depends on the date of this file only.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils, config
from numba.extending import intrinsic

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)

# ITU-R 601-2 luma as in PIL and torchvision, in the order BGR.
_LUMA = (0.114, 0.587, 0.2989)
_BLUE, _GREEN, _RED = (np.float32(weight) for weight in _LUMA)
_ZERO, _HALF, _ONE, _TOP = (np.float32(value) for value in (0, 0.5, 1, 255))
# Pixels processed at once in float32, few enough to stay in the first-level cache.
_CHUNK = 1024
# Values are neither NaN nor infinite, and a product may be fused with a sum. The order of sums is kept.
_FAST = {'nnan', 'ninf', 'nsz', 'contract'}


def _compiled(**options: Any) -> Callable:
    def decorate(function: Callable) -> Callable:
        try:
            return njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:  # numba found no writable folder for its cache
            return njit(nogil=True, **options)(function)

    return decorate


_inner = _compiled()
_fast = _compiled(fastmath=_FAST)


# Vector instructions

LANES = 16
# Whether this processor has AVX2, unless the environment restricts what numba compiles for.
_HAS_AVX2 = (
    config.CPU_NAME is None
    and config.CPU_FEATURES is None
    and bool(config.ENABLE_AVX)
    and binding.get_host_cpu_features().get('avx2', False)
)
# Fraction bits of a widened pixel, of a blur's weight, and of the upper 16 bits of their product.
_PIXEL_BITS = 7
_WEIGHT_BITS = 15
_SUM_BITS = _PIXEL_BITS + _WEIGHT_BITS - 16


def _vector(bits: int) -> ir.VectorType:
    return ir.VectorType(ir.IntType(bits), LANES)


def _constant(bits: int, value: int) -> ir.Constant:
    return ir.Constant(_vector(bits), [value] * LANES)


def _splat(builder: Any, value: Any, bits: int) -> Any:
    nothing = ir.Constant(_vector(bits), ir.Undefined)
    first = builder.insert_element(nothing, value, ir.IntType(32)(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(_vector(32), [0] * LANES))


def _load(builder: Any, address: Any, bits: int) -> Any:
    return builder.load(builder.inttoptr(address, _vector(bits).as_pointer()), align=1)


def _store(builder: Any, value: Any, address: Any, bits: int) -> None:
    builder.store(value, builder.inttoptr(address, _vector(bits).as_pointer()), align=1)


def _to_8_bits(builder: Any, value: Any, bits: int) -> Any:
    for comparison, bound in (('<', 0), ('>', 255)):
        beyond = builder.icmp_signed(comparison, value, _constant(bits, bound))
        value = builder.select(beyond, _constant(bits, bound), value)
    return builder.trunc(value, _vector(8))


def _over_line(builder: Any, n: Any, unrolled: int, emit: Callable[[Any, int], None]) -> None:
    """Emit a loop over n pixels; ``emit(first, count)`` emits the work on ``count`` vectors from pixel ``first`` on."""
    i64 = ir.IntType(64)
    step = unrolled * LANES
    full = builder.sdiv(n, i64(step))
    with cgutils.for_range(builder, full) as loop:
        emit(builder.mul(loop.index, i64(step)), unrolled)
    done = builder.mul(full, i64(step))
    with cgutils.for_range(builder, builder.sdiv(builder.sub(n, done), i64(LANES))) as loop:
        emit(builder.add(done, builder.mul(loop.index, i64(LANES))), 1)
    with builder.if_then(builder.icmp_signed('>', builder.srem(n, i64(LANES)), i64(0))):
        emit(builder.sub(n, i64(LANES)), 1)


@intrinsic
def _widen(typing_context, source, out, n):  # type: ignore[no-untyped-def]
    """Widen n pixels from 8 to 16 bits with ``_PIXEL_BITS`` of fraction. ``_widen(source, out, n)``, two addresses."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        source, out, n = args
        two = ir.IntType(64)(2)

        def vectors(first, count):  # type: ignore[no-untyped-def]
            for k in range(count):
                at = builder.add(first, ir.IntType(64)(k * LANES))
                pixels = builder.zext(_load(builder, builder.add(source, at), 8), _vector(16))
                pixels = builder.shl(pixels, _constant(16, _PIXEL_BITS))
                _store(builder, pixels, builder.add(out, builder.mul(at, two)), 16)

        _over_line(builder, n, 7, vectors)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), emit


def _weighted_sum(out_bits: int) -> Any:
    @intrinsic
    def weighted_sum(typing_context, source, stride, weights, taps, start, out, n):  # type: ignore[no-untyped-def]
        def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
            source, stride, weights, taps, start, out, n = args
            i64 = ir.IntType(64)
            start = _splat(builder, start, 16)
            size = out_bits // 8

            def vectors(first, count):  # type: ignore[no-untyped-def]
                sums = [cgutils.alloca_once(builder, _vector(16)) for _ in range(count)]  # LLVM keeps them in registers
                for total in sums:
                    builder.store(start, total)
                line = builder.add(source, builder.mul(first, i64(2)))
                with cgutils.for_range(builder, taps) as loop:
                    address = builder.add(weights, builder.mul(loop.index, i64(2)))
                    weight = builder.load(builder.inttoptr(address, ir.IntType(16).as_pointer()), align=2)
                    weight = builder.sext(_splat(builder, weight, 16), _vector(32))
                    at = builder.add(line, builder.mul(loop.index, stride))
                    for k, total in enumerate(sums):
                        pixels = _load(builder, builder.add(at, i64(2 * k * LANES)), 16)
                        product = builder.mul(builder.sext(pixels, _vector(32)), weight)
                        product = builder.trunc(builder.ashr(product, _constant(32, 16)), _vector(16))
                        builder.store(builder.add(builder.load(total), product), total)
                for k, total in enumerate(sums):
                    value = builder.load(total)
                    if out_bits == 16:
                        value = builder.shl(value, _constant(16, _PIXEL_BITS - _SUM_BITS))
                    else:
                        value = _to_8_bits(builder, builder.ashr(value, _constant(16, _SUM_BITS)), 16)
                    at = builder.add(out, builder.mul(builder.add(first, i64(k * LANES)), i64(size)))
                    _store(builder, value, at, out_bits)

            _over_line(builder, n, 7, vectors)
            return context.get_dummy_value()

        number = types.intp
        return types.void(number, number, number, number, types.int16, number, number), emit

    return weighted_sum


# (source, stride, weights, taps, start, out, n): for n adjacent pixels, the weighted sum of `taps` widened pixels that
# are `stride` bytes apart. Truncation costs each product half of the sum's last bit on average. Sums begin with
# `start`, which makes up for this loss and rounds. The results are 8-bit pixels, or widened ones.
_weighted_sum_8, _weighted_sum_16 = _weighted_sum(8), _weighted_sum(16)


@intrinsic
def _pair_rows(typing_context, source, second, out, n):  # type: ignore[no-untyped-def]
    """Interleave two 8-bit lines to n pairs of 16 bits, 4n bytes. ``_pair_rows(source, second, out, n)``."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        source, second, out, n = args
        i64 = ir.IntType(64)

        def vectors(first, count):  # type: ignore[no-untyped-def]
            for k in range(count):
                at = builder.add(first, i64(k * LANES))
                rows = [_load(builder, builder.add(row, at), 8) for row in (source, second)]
                for half in range(2):
                    # The lanes of the second row are numbered from LANES on.
                    lanes = [i // 2 + LANES * (i % 2) + LANES // 2 * half for i in range(LANES)]
                    pairs = builder.shuffle_vector(*rows, ir.Constant(_vector(32), lanes))
                    address = builder.add(out, builder.mul(at, i64(4)))
                    _store(builder, builder.zext(pairs, _vector(16)), builder.add(address, i64(half * 2 * LANES)), 16)

        _over_line(builder, n, 4, vectors)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp), emit


@intrinsic
def _weighted_pairs(typing_context, source, stride, weights, pairs, bits, out, n):  # type: ignore[no-untyped-def]
    """Compute weighted sums over pairs of pixels in 32 bits and round them to 8.

    ``_weighted_pairs(source, stride, weights, pairs, bits, out, n)``: for n adjacent pixels, take ``pairs`` pairs of
    :func:`_pair_rows` that are ``stride`` bytes apart. Weights have 16 bits, ``bits`` of them fraction.
    """

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        source, stride, weights, pairs, bits, out, n = args
        i64, words = ir.IntType(64), ir.VectorType(ir.IntType(32), LANES // 2)
        half = builder.shl(ir.IntType(32)(1), builder.sub(bits, ir.IntType(32)(1)))
        half, bits = _splat(builder, half, 32), _splat(builder, bits, 32)
        halves = [ir.Constant(words, list(range(i, i + LANES // 2))) for i in (0, LANES // 2)]
        half = builder.shuffle_vector(half, half, halves[0])

        def vectors(first, count):  # type: ignore[no-untyped-def]
            sums = [cgutils.alloca_once(builder, words) for _ in range(2 * count)]
            for total in sums:
                builder.store(half, total)
            line = builder.add(source, builder.mul(first, i64(4)))
            with cgutils.for_range(builder, pairs) as loop:
                address = builder.add(weights, builder.mul(loop.index, i64(4)))
                weight = builder.load(builder.inttoptr(address, ir.IntType(32).as_pointer()), align=2)
                weight = builder.shuffle_vector(_splat(builder, weight, 32), _constant(32, 0), halves[0])
                weight = builder.bitcast(weight, _vector(16))
                at = builder.add(line, builder.mul(loop.index, stride))
                for k, total in enumerate(sums):
                    pixels = _load(builder, builder.add(at, i64(2 * k * LANES)), 16)
                    builder.store(builder.add(builder.load(total), _dot_pairs(builder, pixels, weight)), total)
            for k in range(count):
                low, high = (builder.load(total) for total in sums[2 * k : 2 * k + 2])
                value = builder.shuffle_vector(low, high, ir.Constant(_vector(32), list(range(LANES))))
                value = _to_8_bits(builder, builder.ashr(value, bits), 32)
                _store(builder, value, builder.add(builder.add(out, first), i64(k * LANES)), 8)

        _over_line(builder, n, 4, vectors)
        return context.get_dummy_value()

    number = types.intp
    return types.void(number, number, number, number, types.int32, number, number), emit


def _dot_pairs(builder: Any, a: Any, b: Any) -> Any:
    """Add the products of adjacent lanes, 16 × 16 bits to 8 × 32 bits. x86 has one instruction for this."""
    words = ir.VectorType(ir.IntType(32), LANES // 2)
    if _HAS_AVX2:
        operation = ir.FunctionType(words, [_vector(16), _vector(16)])
        return builder.call(cgutils.get_or_insert_function(builder.module, operation, 'llvm.x86.avx2.pmadd.wd'), [a, b])
    total = None
    for parity in range(2):
        lanes = ir.Constant(words, list(range(parity, LANES, 2)))
        product = builder.mul(*(builder.sext(builder.shuffle_vector(x, x, lanes), words) for x in (a, b)))
        total = product if total is None else builder.add(total, product)
    return total


@intrinsic
def _transpose_tile(typing_context, source, stride, out, out_stride):  # type: ignore[no-untyped-def]
    """Transpose 16 × 16 bytes. ``_transpose_tile(source, stride, out, out_stride)``, strides in bytes."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        source, stride, out, out_stride = args
        i64 = ir.IntType(64)
        rows = [_load(builder, builder.add(source, builder.mul(stride, i64(i))), 8) for i in range(LANES)]
        low = [i // 2 + LANES * (i % 2) for i in range(LANES)]
        halves = [ir.Constant(_vector(32), [i + offset for i in low]) for offset in (0, LANES // 2)]
        # Interleaving each row with the row 8 below, four times over, transposes the tile.
        for _ in range(4):
            rows = [
                builder.shuffle_vector(rows[i], rows[i + LANES // 2], half)
                for i in range(LANES // 2)
                for half in halves
            ]
        for i, row in enumerate(rows):
            _store(builder, row, builder.add(out, builder.mul(out_stride, i64(i))), 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp), emit


# Crop and resize

_MAX_FRACTION_BITS = 22  # bound on the fraction bits of a weight, reached if all weights are small


@_inner
def _filter_value(x, cubic):  # type: ignore[no-untyped-def]
    """Return Pillow's triangle at x ≥ 0, or Keys' cubic with a = −1/2."""
    if not cubic:
        return max(1 - x, 0.0)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * -0.5 if x < 2 else 0.0


@_inner
def resize_weights(n_in, n_out, cubic):  # type: ignore[no-untyped-def]
    """Return for each result its first pixel and its number of pixels, 16-bit weights (n_out, even), and their bits.

    The bits are the fraction bits of all weights. Support, weights and rounding equal those of the anti-aliased
    resizing in torch and Pillow.
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
        center = ratio * (i + 0.5)
        first[i] = max(int(center - support + 0.5), 0)
        count[i] = min(min(int(center + support + 0.5), n_in) - first[i], most)
        total = 0.0
        for j in range(count[i]):
            exact[i, j] = _filter_value(abs((j + first[i] - center + 0.5) * shrink), cubic)
            total += exact[i, j]
        for j in range(count[i]):
            exact[i, j] /= total
            largest = max(largest, exact[i, j])
    bits = 0
    while bits < _MAX_FRACTION_BITS and int(0.5 + largest * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    unit = float(1 << bits)
    weights = np.zeros((n_out, most + 1), np.int16)  # most is odd
    for i in range(n_out):
        for j in range(count[i]):
            value = exact[i, j] * unit
            weights[i, j] = np.int16(value - 0.5 if value < 0 else value + 0.5)
    return first, count, weights, bits


@_inner
def _address(array):  # type: ignore[no-untyped-def]
    """Return the address of an array that is used later or belongs to the caller.

    numba frees an array after its last use, and an address does not count as one.
    """
    return np.intp(array.ctypes.data)


@_inner
def _resize_rows(rows, first, count, weights, bits, reverse, out):  # type: ignore[no-untyped-def]
    """Resize along the first axis, (n, m) to (size, m); write the last row first if ``reverse``."""
    m, size = rows.shape[1], len(out)
    # A row is paired with the next one when it is first needed. The window of pairs restarts when it is full.
    capacity = 4 * weights.shape[1]
    window = np.empty((capacity, 2 * m), np.int16)
    begin = end = 0  # the rows in the window
    for i in range(size):
        pairs = (count[i] + 1) // 2
        stop = first[i] + 2 * pairs - 1
        if stop - begin > capacity:
            begin = end = first[i]
        while end < stop:
            row = _address(rows) + end * m
            _pair_rows(row, row + m if end + 1 < len(rows) else row, _address(window) + 4 * (end - begin) * m, m)
            end += 1
        _weighted_pairs(
            _address(window) + 4 * (first[i] - begin) * m,
            8 * m,
            _address(weights) + 2 * i * weights.shape[1],
            pairs,
            np.int32(bits),
            _address(out) + (size - 1 - i if reverse else i) * m,
            m,
        )


@_inner
def _transpose(source, offset, stride, n, m, out):  # type: ignore[no-untyped-def]
    """Transpose bytes (n, m), from ``offset`` on and with rows ``stride`` apart, to (m, n). Last tiles may overlap."""
    for j in range(0, m, LANES):
        j = min(j, m - LANES)
        for i in range(0, n, LANES):
            i = min(i, n - LANES)
            _transpose_tile(_address(source) + offset + i * stride + j, stride, _address(out) + j * n + i, n)


@_inner
def resized_crop(image, left, top, w, h, columns, rows, flip, out):  # type: ignore[no-untyped-def]
    """Cut out a box and resize it to planes (3, size, size). All sides must be at least ``LANES``.

    ``columns`` and ``rows`` are the results of :func:`resize_weights` for the width and the height of the box.
    """
    size = out.shape[1]
    # Columns are resized as rows of the transposed crop: adjacent values in memory then share their weights, as vector
    # instructions require. The transpositions also turn channels into planes.
    stride = 3 * image.shape[1]
    lines = np.empty((w, 3 * h), np.uint8)
    _transpose(image, top * stride + 3 * left, stride, h, 3 * w, lines)
    narrow = np.empty((size, 3 * h), np.uint8)
    _resize_rows(lines, columns[0], columns[1], columns[2], columns[3], flip, narrow)
    planes = np.empty((3, h, size), np.uint8)
    _transpose(narrow, 0, 3 * h, size, 3 * h, planes)
    for channel in range(3):
        _resize_rows(planes[channel], rows[0], rows[1], rows[2], rows[3], False, out[channel])


# Blur


@_inner
def blur(planes, kernel):  # type: ignore[no-untyped-def]
    """Filter rows and columns of planes (n, H, W) in place with a kernel (2r + 1,) of sum 1. Borders are reflected.

    Weights must not be negative, and sides must exceed ``LANES`` and r.
    """
    height, width = planes.shape[1:]
    taps = len(kernel)
    radius = taps // 2
    weights = np.empty(taps, np.int16)
    for k in range(taps):
        weights[k] = np.int16(round(kernel[k] * ((1 << _WEIGHT_BITS) - 1)))
    # Truncation costs each product half of the sum's last bit on average.
    lost = np.int16(taps // 2)
    half = np.int16(1 << (_SUM_BITS - 1))
    line = np.empty(width + 2 * radius, np.int16)
    lines = np.empty((height + 2 * radius, width), np.int16)
    for plane in planes:
        for y in range(height):
            _widen(_address(plane) + y * width, _address(line) + 2 * radius, width)
            for k in range(1, radius + 1):
                line[radius - k] = line[radius + k]
                line[radius + width - 1 + k] = line[radius + width - 1 - k]
            # Nothing is rounded to 8 bits between rows and columns.
            at = _address(lines) + 2 * (y + radius) * width
            _weighted_sum_16(_address(line), 2, _address(weights), taps, lost, at, width)
        for k in range(1, radius + 1):
            lines[radius - k] = lines[radius + k]
            lines[radius + height - 1 + k] = lines[radius + height - 1 - k]
        for y in range(height):
            at = _address(plane) + y * width
            _weighted_sum_8(
                _address(lines) + 2 * y * width, 2 * width, _address(weights), taps, np.int16(half + lost), at, width
            )


# Colors


@_fast
def _to_float(pixels, out):  # type: ignore[no-untyped-def]
    for i in range(out.shape[0]):
        out[i] = np.float32(np.int32(pixels[i]))


@_fast
def _round(values, out):  # type: ignore[no-untyped-def]
    for i in range(out.shape[0]):
        # The bounds are never reached, but only with them does the compiler pack bytes at once.
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
    """Turn the hue from x toward y by a number of sixths of the circle in [0, 1].

    A channel X, followed by the channels Y and Z, moves by e = max(0, sixths · (max − min) − distance from X to
    [Y, Z]): down to the pixel's minimum at most where Y > Z, otherwise up to its maximum at most. (The distance is how
    far the hue turns before X, being the largest or the smallest channel, begins to change.)
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
def _adjust(planes, steps, gray):  # type: ignore[no-untyped-def]
    """Apply ``steps`` in one pass. Only the first may be the contrast."""
    scratch = np.empty((3, _CHUNK), np.float32)
    rest = (_ONE - steps[0, 1]) * _mean_luma(planes) if len(steps) and steps[0, 0] == CONTRAST else _ZERO
    for start in range(0, planes.shape[1], _CHUNK):
        stop = min(start + _CHUNK, planes.shape[1])
        blue, green, red = scratch[0, : stop - start], scratch[1, : stop - start], scratch[2, : stop - start]
        _to_float(planes[0, start:stop], blue)
        _to_float(planes[1, start:stop], green)
        _to_float(planes[2, start:stop], red)
        for k in range(len(steps)):
            step, value = int(steps[k, 0]), steps[k, 1]
            if step == SATURATION:
                _saturate(blue, green, red, value)
            elif step == HUE:
                # A turn by a third of the circle only permutes the channels.
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
        if gray:
            for i in range(stop - start):
                blue[i] = _BLUE * blue[i] + _GREEN * green[i] + _RED * red[i]
            _round(blue, planes[0, start:stop])
        else:
            _round(blue, planes[0, start:stop])
            _round(green, planes[1, start:stop])
            _round(red, planes[2, start:stop])


@_inner
def adjust_colors(planes, steps, gray):  # type: ignore[no-untyped-def]
    """Apply the color jitter and gray to planes (3, pixels) in place.

    Values are rounded at the end, and before a contrast, which needs a mean. ``steps`` (k, 2) holds the number of each
    operation and its factor or shift. With ``gray`` only the first plane is valid afterward.
    """
    start = 0
    for k in range(1, len(steps)):
        if steps[k, 0] == CONTRAST:
            _adjust(planes, steps[start:k], False)
            start = k
    if len(steps) or gray:
        _adjust(planes, steps[start:], gray)


_PIXELS, _PLANES = types.Array(types.uint8, 2, 'C'), types.Array(types.uint8, 3, 'C')
# This type takes writable arrays, too. Arrays from Pillow and memory maps are read-only.
_IMAGE = types.Array(types.uint8, 3, 'C', readonly=True)
_NUMBERS = types.Array(types.int64, 1, 'C')
_WEIGHTS = types.Tuple((_NUMBERS, _NUMBERS, types.Array(types.int16, 2, 'C'), types.int64))
_SIGNATURES = {
    resize_weights: _WEIGHTS(types.int64, types.int64, types.boolean),
    resized_crop: types.void(_IMAGE, *[types.int64] * 4, _WEIGHTS, _WEIGHTS, types.boolean, _PLANES),
    blur: types.void(_PLANES, types.Array(types.float32, 1, 'C')),
    adjust_colors: types.void(_PIXELS, types.Array(types.float32, 2, 'C'), types.boolean),
}


def compile_kernels() -> None:
    """Compile the kernels, or load them from the disk, unless this process has them. Forked processes inherit them.

    Arguments of other types are errors from then on, so that nothing compiles in the middle of an epoch.
    """
    for kernel, signature in _SIGNATURES.items():
        if not kernel.signatures:
            kernel.compile(signature)
            kernel.disable_compile()
