"""What a dry run found, as a dict for json, as text, and as a markdown table."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch

from . import gpus
from .errors import StepError
from .gpus import GPU
from .step import StepRecord

_GIB = 2**30
_LINES = 10  # places in the list of waits
NOTE = 'These are estimates from shapes and data sheets; no GPU has confirmed them.'


def _range(pair: tuple[float, float], unit: float = 1) -> str:
    low, high = sorted(pair)
    return f'{low / unit:g} to {high / unit:g}'


ASSUMPTIONS = (
    f'Need = {gpus.MARGIN} × peak (fragmentation) + the buckets of DDP + {gpus.RESERVED / _GIB:g} GiB (context, NCCL, '
    f'cuDNN). Images/s: matrix products and convolutions at {_range(gpus.SHARE_OF_PEAK, 0.01)} % of the peak rate, all '
    f'else at {_range(gpus.SHARE_OF_BANDWIDTH, 0.01)} % of the bandwidth of the memory, or '
    f'{_range(gpus.SECONDS_PER_CALL, 1e-6)} µs per aten call if that takes longer; collectives at '
    f'{_range(gpus.NODE_BANDWIDTH, 1e9)} GB/s per GPU on up to {gpus.GPUS_PER_NODE} GPUs, at '
    f'{_range(gpus.NETWORK_BANDWIDTH, 1e9)} GB/s on more, and {_range(gpus.SECONDS_PER_COLLECTIVE, 1e-6)} µs each. '
    'Reading and decoding of images, the monitor and validation are not included.'
)


def failure(config: str, world_size: int, error: StepError, reached: dict[str, int]) -> dict[str, Any]:
    """Return the report of a step that raised an error.

    Args:
        config: Name of the config.
        world_size: Number of ranks.
        error: The error.
        reached: Bytes until then, by name.
    """
    gib = {name: round(size / _GIB, 2) for name, size in reached.items()}
    return dict(config=config, gpus=world_size, error=error.message, source=error.source, code=error.code, gib=gib)


def success(config: str, record: StepRecord, gpu: GPU, memory: float, largest: StepRecord | None) -> dict[str, Any]:
    """Return the report of a step.

    Args:
        config: Name of the config.
        record: The step.
        gpu: GPU for which images per second are estimated.
        memory: GiB of a GPU.
        largest: Step with the largest batch that fits, if it was searched for.
    """
    counters = record.counters
    need = gpus.needed_memory(record) / _GIB
    report = dict(
        config=config,
        gpus=record.world_size,
        batch=record.batch,
        views=record.views,
        precision=record.precision,
        trainable=record.trainable,
        unused=record.unused,
        low_precision_losses=record.low_precision_losses,
        waits=[dict(kind=kind, source=source, count=count) for (kind, source), count in counters.waits.items()],
        uploads=sum(counters.uploads.values()),
        tflop=round(sum(kernel.flop for kernel in counters.kernels) / 1e12, 2),
        calls=len(counters.kernels),
        collectives=_collectives(record),
        gib={name: round(size / _GIB, 2) for name, size in _memory(record).items()} | dict(need=round(need, 1)),
        memory=memory,
        fits=need <= memory,
        gpu=gpu.title,
        images_per_second=[round(x) for x in gpus.images_per_second(record, gpu)],
    )
    if largest is not None:
        report['largest_batch'] = largest.batch
    return report


def _memory(record: StepRecord) -> dict[str, int]:
    return dict(
        weights=record.weights,
        optimizer_state=record.optimizer_state,
        activations=record.activations,
        peak=record.peak,
        buckets=gpus.bucket_bytes(record),
    )


def _collectives(record: StepRecord) -> dict[str, dict[str, int]]:
    """Return number and bytes of each kind of collective; DDP's sum of the gradients is one."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for transfer in record.counters.collectives:
        counts[transfer.kind] += 1
        sizes[transfer.kind] += transfer.bytes
    if record.world_size > 1:
        counts['gradients'], sizes['gradients'] = 1, record.trainable_bytes
    return {kind: dict(count=count, bytes=sizes[kind]) for kind, count in counts.items()}


def as_text(report: dict[str, Any]) -> str:
    """Return the report of one config as lines of text."""
    if 'error' in report:
        return _error_text(report)
    gib = report['gib']
    low, high = report['images_per_second']
    lines: list[tuple[str, str]] = [
        ('memory per GPU', f'{gib["need"]} GiB needed of {report["memory"]:g}: {_fits(report)}'),
        (
            '',
            f'weights {gib["weights"]}, optimizer {gib["optimizer_state"]}, kept for backward {gib["activations"]}, '
            f'peak {gib["peak"]}, DDP {gib["buckets"]}',
        ),
        ('work per GPU', f'{report["tflop"]} TFLOP and {report["calls"]:,} aten calls per step'),
        (
            'collectives',
            '; '.join(
                f'{kind}: {x["count"]}, {x["bytes"] / 2**20:.1f} MiB' for kind, x in report['collectives'].items()
            )
            or 'none',
        ),
        *_wait_lines(report['waits']),
        ('parameters', f'{report["trainable"] / 1e6:.1f} M trainable, {_unused(report["unused"])}'),
        ('speed', f'{low:,} to {high:,} images/s on {report["gpus"]} × {report["gpu"]}'),
    ]
    if report['low_precision_losses']:
        lines.append(('losses', f'not in float32: {", ".join(report["low_precision_losses"])}'))
    views = ', '.join(f'{count} × {side} px' for side, count in Counter(report['views']).items())
    title = f'{report["config"]}: {report["gpus"]} GPUs × {report["batch"]} images, {views}, {report["precision"]}'
    return '\n'.join([title, *(f'  {name:<16}{text}' for name, text in lines)])


def _error_text(report: dict[str, Any]) -> str:
    until = ', '.join(f'{name} {size} GiB' for name, size in report['gib'].items())
    lines = [f'{report["config"]}: error: {report["error"]}', f'{report["source"]}: {report["code"]}']
    return '\n  '.join([*lines, f'until then: {until}'] if until else lines)


def _wait_lines(waits: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    if not waits:
        return [('waits', 'none')]
    lines = [f'{x["count"]} × {x["kind"]}, {x["source"]}' for x in sorted(waits, key=lambda x: -x['count'])]
    if len(lines) > _LINES:
        lines[_LINES:] = [f'and in {len(lines) - _LINES} more lines, which --json lists']
    total = f'{sum(x["count"] for x in waits)} per step'
    return [('waits', total), *(('', line) for line in lines)]


def _fits(report: dict[str, Any]) -> str:
    largest = report.get('largest_batch')
    return ('fits' if report['fits'] else 'DOES NOT FIT') + (f'; {largest} images would fit' if largest else '')


def _unused(names: Sequence[str]) -> str:
    if not names:
        return 'all get a gradient'
    return f'{len(names)} WITHOUT GRADIENT: {", ".join(names[:5])}{", …" if len(names) > 5 else ""}'


def as_markdown(reports: Sequence[dict[str, Any]]) -> str:
    """Return a table with one row per config."""
    headings = (
        'recipe', 'GPUs × images', 'weights, optimizer', 'kept', 'peak', 'need', 'largest batch', 'TFLOP', 'aten calls',
        'collectives, MiB', 'waits', 'images/s',
    )  # fmt: skip
    rows = [' | '.join(row) for row in (headings, ['---'] * len(headings), *map(_cells, reports))]
    return ''.join(f'| {row} |\n' for row in rows)


def _cells(report: dict[str, Any]) -> list[str]:
    name = report['config'].rsplit('/', 1)[-1].removesuffix('.py')
    if 'error' in report:
        return [name, str(report['gpus']), f'error: {report["error"]} ({report["source"]})', *[''] * 9]
    gib = report['gib']
    transfers = report['collectives'].values()
    low, high = report['images_per_second']
    return [
        name,
        f'{report["gpus"]} × {report["batch"]}',
        f'{gib["weights"] + gib["optimizer_state"]:.2f}',
        *(f'{gib[part]:.1f}' for part in ('activations', 'peak')),
        f'{gib["need"]:.0f}' if report['fits'] else f'**{gib["need"]:.0f}**',
        str(report.get('largest_batch', '–')),
        f'{report["tflop"]:.1f}',
        f'{report["calls"]:,}',
        f'{sum(x["count"] for x in transfers)}: {sum(x["bytes"] for x in transfers) / 2**20:.0f}',
        str(sum(x['count'] for x in report['waits'])),
        f'{low:,} – {high:,}',
    ]


def as_page(document: dict[str, Any]) -> str:
    """Return a markdown page from the dict of :func:`document`."""
    reports = document['rows']
    memory, gpu = next(((x['memory'], x['gpu']) for x in reports if 'gpu' in x), (0, 'no GPU'))
    return '\n'.join(
        [
            '# Dry runs\n',
            'One training step per config, by `tools/dry_run.py` with torch '
            f'{document["torch"]}. Memory is in GiB per GPU; work is per GPU and step.',
            f'{document["note"]}\n',
            as_markdown(reports),
            f'{document["assumptions"]}\n',
            f'"Largest batch" is the largest multiple of 8 images per GPU that fits {memory:g} GiB. Images/s are',
            f'those of all GPUs together, each an {gpu}.\n',
        ]
    )


def document(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the reports with what they rest on, for json."""
    return dict(note=NOTE, assumptions=ASSUMPTIONS, torch=torch.__version__.split('+')[0], rows=list(reports))
