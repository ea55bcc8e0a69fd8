"""The markdown page that is made from the record."""

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from .plan import PARTS
from .recipes import data_sheet

Entry = dict[str, Any]
_GIB = 2**30
_CPU_NOTE = (
    '**These rows were measured on a CPU, on tiny shapes, to try the check itself. Their figures mean nothing.**'
)
_LEGENDS = dict(
    tests='One process per file of `tests/gpu`.',
    step='Time of a step in bfloat16 as a median with its range, over that of its necessary passes (backbone and '
    'heads). The ratio is the median over pairs.',
    memory='Peak is `torch.cuda.max_memory_allocated` of a step; reserved is what the allocator holds. Predictions are '
    'those of `tools/dry_run.py` for one GPU. Waits are those of a step outside a training.',
    waits='Lines that wait for the GPU in a training by the Runner, after the first lines of the log, with their '
    'number. Between two lines of the log there should be none.',
    precision='One step from the same weights on the same views. The cosine is that of the gradients of all weights.',
    kernels='Forward and backward pass of SyncBatchNorm as one rank against batch norm; largest differences relative '
    'to the largest value. Monitor: both measures by Gram matrices against one singular value decomposition. Views: '
    'crops that are finished on the device.',
    peers='Steps that alternate in one process, in bfloat16, on the same shapes.',
    channels_last='Weights in channels_last against contiguous ones, in bfloat16.',
    compile='`torch.compile` of the step against none, in bfloat16; compilation is not included.',
    predictions='Dry runs on one GPU.',
    cifar='20-NN accuracy on the test images, in percent.',
)


def as_page(rows: Sequence[Entry]) -> str:
    """Return the page of all rows of a record."""
    origins: list[dict] = []
    for row in rows:
        if row['origin'] not in origins:
            origins.append(row['origin'])
    lines = ['# Measured on a GPU', '']
    lines += ['Written by `tools/gpu_check.py`; [gpu_check.md](../gpu_check.md) explains the parts.', '']
    lines += [f'- run {_letter(i)}: {_describe(origin)}' for i, origin in enumerate(origins)]
    for part in PARTS:
        entries = [row for row in rows if row['part'] == part]
        if entries:
            lines += ['', f'## {PARTS[part][0].upper()}{PARTS[part][1:]}', '']
            if part != 'predictions' and any(entry['origin'].get('device') == 'cpu' for entry in entries):
                lines += [_CPU_NOTE, '']
            lines += [*_table(part, entries, rows, origins), '', _LEGENDS[part]]
    return '\n'.join(lines) + '\n'


def _letter(index: int) -> str:
    return chr(ord('A') + index) if index < 26 else str(index)


def _describe(origin: dict) -> str:
    return ', '.join(value if name == 'device' else f'{name} {value}' for name, value in origin.items())


def _table(part: str, entries: list[Entry], rows: Sequence[Entry], origins: list[dict]) -> list[str]:
    heads, cells = _CELLS[part]
    lines = [f'| row | {" | ".join(heads)} | run |', '|---' * (len(heads) + 2) + '|']
    for entry in entries:
        run = _letter(origins.index(entry['origin']))
        if 'error' in entry:
            shown = [f'**error: {_escaped(entry["error"])}**', *[''] * (len(heads) - 1)]
        else:
            shown = [_escaped(cell) for cell in cells(entry, rows)]
        lines.append(f'| {_escaped(entry["name"])} | {" | ".join(shown)} | {run} |')
    return lines


def _escaped(text: object) -> str:
    return str(text).replace('|', '\\|').replace('\n', ' ')


def _ms(result: Entry) -> str:
    low, high = result['step_fastest'], result['step_slowest']
    return f'{1000 * result["step"]:.1f} ({1000 * low:.1f} – {1000 * high:.1f})'


def _tests(entry: Entry, _: Sequence[Entry]) -> list[str]:
    result = entry['result']
    failed = '; '.join(f'{case["name"]}: {case["message"]}' for case in result['failed'])
    skipped = '; '.join(f'{case["name"]}: {case["message"]}' for case in result['skipped'])
    return [str(result['passed']), f'**{failed}**' if failed else 'none', skipped or 'none']


def _step(entry: Entry, _: Sequence[Entry]) -> list[str]:
    result = entry['result']
    shares = (f'{100 * result[part] / result["passes"]:.1f} %' for part in ('preprocessing', 'optimizer', 'teacher'))
    memory = result['bytes_step'] / result['bytes_passes']
    times = [f'{result["images_per_second"]:.0f}', _ms(result), f'{1000 * result["passes"]:.1f}']
    return [str(result['batch']), *times, f'{result["ratio"]:.3f}', f'{memory:.3f}', *shares]


def _memory(entry: Entry, rows: Sequence[Entry]) -> list[str]:
    result = entry['result']
    prediction = next(
        (
            row['result']
            for row in rows
            if (row['part'], row['name']) == ('predictions', entry['name'])
            and row.get('result', {}).get('batch') == result['batch']
        ),
        None,
    )
    predicted, ratio, need, expected = '', '', '', ''
    if prediction:
        predicted, need = f'{prediction["peak"] / _GIB:.2f}', f'{prediction["need"] / _GIB:.1f}'
        ratio = f'{result["peak"] / prediction["peak"]:.3f}'
        gpu = data_sheet(entry['origin']['device'])
        expected = ' – '.join(f'{x:,}' for x in prediction['images_per_second'][gpu]) if gpu else 'unknown GPU'
    reserved = '' if result['reserved'] is None else f'{result["reserved"] / _GIB:.2f}'
    waits = 'not measured' if result['waits'] is None else '; '.join(result['waits']) or 'none'
    memory = [f'{result["peak"] / _GIB:.2f}', predicted, ratio, reserved, need]
    return [str(result['batch']), *memory, _ms(result), f'{result["images_per_second"]:,.0f}', expected, waits]


def _waits(entry: Entry, _: Sequence[Entry]) -> list[str]:
    result = entry['result']
    shapes = [str(result['batch']), f'{result["iterations"]}, {result["interval"]}']
    if result['waits'] is None:
        return [*shapes, 'not measured', 'not measured']
    waits, between = (
        '; '.join(f'{count} × {source}' for source, count in result[name].items()) or 'none'
        for name in ('waits', 'between')
    )
    return [*shapes, waits, between if between == 'none' else f'**{between}**']


def _precision(entry: Entry, _: Sequence[Entry]) -> list[str]:
    result = entry['result']
    change = 100 * (result['loss_bf16'] / result['loss_float32'] - 1)
    losses = [f'{result["loss_float32"]:.5f}', f'{result["loss_bf16"]:.5f}', f'{change:+.3f} %']
    return [str(result['batch']), *losses, f'{result["cosine"]:.4f}', f'{result["norm_ratio"]:.4f}']


def _kernels(entry: Entry, _: Sequence[Entry]) -> list[str]:
    result = entry['result']
    if 'differences' in result:
        differences = ', '.join(f'{name} {value:.1e}' for name, value in result['differences'].items())
        return [f'{1000 * result["ours"]:.2f}', f'batch norm {1000 * result["batch_norm"]:.2f}', differences]
    if 'gram' in result:
        svd = f'singular values {1000 * result["svd"]:.1f}' if 'svd' in result else ''
        return [f'{1000 * result["gram"]:.1f}', svd, '']
    rate = f'{result["images_per_second"]:,.0f} images/s, {result["batch"]} × {result["views"]} views'
    return [f'{1000 * result["finish"]:.1f}', f'normalization alone {1000 * result["normalize"]:.1f}', rate]


def _peers(entry: Entry, _: Sequence[Entry]) -> list[str]:
    result = entry['result']
    ours = median(peer['seconds'] for peer in result['peers'])
    by_name = {peer['peer']: peer for peer in result['peers']}
    cells = [str(result['batch']), f'{result["batch"] / ours:.0f}', f'{1000 * ours:.1f}']
    for name in ('mmpretrain', 'lightly'):
        peer = by_name.get(name)
        cells.append(f'{1000 * peer["peer_seconds"]:.1f} ({peer["ratio"]:.3f})' if peer else '–')
    return cells


def _switch(entry: Entry, _: Sequence[Entry]) -> list[str]:
    result = entry['result']
    rate = f'{result["batch"] / result["with"]:.0f}'
    times = (f'{1000 * result[name]:.1f}' for name in ('with', 'without'))
    return [str(result['batch']), rate, *times, f'{result["ratio"]:.3f}']


def _predictions(entry: Entry, _: Sequence[Entry]) -> list[str]:
    result = entry['result']
    return [str(result['batch']), f'{result["peak"] / _GIB:.2f}', f'{result["need"] / _GIB:.1f}', str(result['waits'])]


def _cifar(entry: Entry, _: Sequence[Entry]) -> list[str]:
    result = entry['result']
    curve = ', '.join(f'{float(accuracy):.1f}' for accuracy in result['accuracies'].values())
    state = 'finished' if result['finished'] else 'not finished'
    return [str(result['batch']), f'{result["epochs"]}, {state}', curve or 'none yet']


_SWITCH = ['images', 'images/s with', 'with, ms', 'without, ms', 'without / with']
_CELLS: dict[str, tuple[list[str], Callable[[Entry, Sequence[Entry]], list[str]]]] = dict(
    tests=(['passed', 'failed', 'skipped'], _tests),
    step=(
        [
            *('images', 'images/s', 'step, ms', 'necessary passes, ms', 'ratio', 'memory over that of the passes'),
            *('preprocessing', 'optimizer', 'teacher'),
        ],
        _step,
    ),
    memory=(
        [
            *('images', 'peak, GiB', 'predicted', 'ratio', 'reserved', 'predicted need'),
            *('step, ms', 'images/s', 'predicted', 'waits'),
        ],
        _memory,
    ),
    waits=(['images', 'iterations, interval', 'waits', 'between two lines of the log'], _waits),
    precision=(['images', 'loss in float32', 'in bfloat16', 'change', 'cosine', 'ratio of norms'], _precision),
    kernels=(['ms', 'against, ms', 'difference or rate'], _kernels),
    peers=(['images', 'images/s', 'ours, ms', 'mmpretrain, ms (ours / its)', 'lightly, ms (ours / its)'], _peers),
    channels_last=(_SWITCH, _switch),
    compile=(_SWITCH, _switch),
    predictions=(['images', 'peak, GiB', 'need, GiB', 'waits'], _predictions),
    cifar=(['images', 'epochs', '20-NN, % over training'], _cifar),
)
