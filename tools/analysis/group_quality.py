"""Class entropy of SMoG's groups: ``group_quality.py CHECKPOINT [CHECKPOINT ...] --out FOLDER``.

Assigns the labeled images of the config's bank (or query set) to the checkpoint's groups. Writes the density of the
groups over their entropy (Fig. 5 of the paper), a sheet of images from the purest and the most mixed groups, and the
numbers. Groups of the same sizes with shuffled labels show the effect of the sizes alone. From the logs beside the
checkpoints, it draws what ``SMoGResetHook`` has measured at every reset: whether groups separate times instead of
images (near log 4 = 1.39 nats), participation ratio of z, agreement of online network and teacher, groups used.
"""

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import Dataset

from lewel_plugins import functional as LF
from lewel_plugins.errors import SetupError
from lewel_plugins.evaluation.collect import collect
from lewel_plugins.models import SMoG
from lewel_plugins.models.features import preprocessed_images
from lewel_plugins.running.command_line import add_config_options
from lewel_plugins.running.entry_point import run_main
from lewel_plugins.running.model_files import load_model
from lewel_plugins.visualization.curves import Curve, draw_curves, read_curves
from lewel_plugins.visualization.group_quality import (
    draw_contact_sheet,
    draw_entropy_density,
    pick_groups,
    shuffled_entropy,
)
from lewel_plugins.visualization.images import evenly_spaced, to_rgb


class Grouping(NamedTuple):
    """A checkpoint's model, a data set, and the groups and labels of its images, (N,) each."""

    model: SMoG
    dataset: Dataset
    assignment: Tensor
    labels: Tensor


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Class entropy of SMoG's groups, images of some groups, and curves of their resets."
    )
    parser.add_argument('checkpoints', nargs='+', help='checkpoints of SMoG, which contain their configs')
    parser.add_argument('--names', nargs='+', help='titles in the figure (default: folders of the checkpoints)')
    parser.add_argument(
        '--split', choices=('bank', 'query'), default='bank', help='images to assign to groups (default: bank)'
    )
    parser.add_argument(
        '--out', type=Path, default=Path('group_quality'), help='folder to write (default: group_quality)'
    )
    parser.add_argument(
        '--rows', type=int, default=6, help='number of purest groups shown, and of most mixed ones (default: 6)'
    )
    parser.add_argument(
        '--columns', type=int, default=10, help='images shown per group, and minimum size of a group (default: 10)'
    )
    add_config_options(parser)
    args = parser.parse_args()
    if args.rows < 1 or args.columns < 1:
        parser.error('--rows and --columns must be at least 1')
    if args.names and len(args.names) != len(args.checkpoints):
        parser.error(f'{len(args.checkpoints)} checkpoints, but {len(args.names)} --names')
    args.names = args.names or [Path(path).resolve().parent.name for path in args.checkpoints]
    if len(set(args.names)) < len(args.names):
        parser.error(f'--names must differ, got {args.names}')
    return args


def loader_of(cfg: Config, split: str) -> dict[str, Any]:
    """Return the loader of the config's labeled images."""
    loader = cfg.get('val_dataloader') if split == 'query' else (cfg.get('val_cfg') or {}).get('bank_dataloader')
    if not loader:
        raise SetupError(f'the config has no {split} images: it needs val_dataloader and val_cfg.bank_dataloader')
    return {**loader, 'persistent_workers': False}


def read_groups(path: str, args: argparse.Namespace) -> Grouping:
    """Assign every image of the split to a group of the checkpoint."""
    model, cfg = load_model(path, builds=['val_dataloader', 'val_cfg'], options=args.cfg_options)
    if not isinstance(model, SMoG):
        raise SetupError(f'{path} is a {type(model).__name__}: only SMoG has groups')
    model.to(get_device())

    def assign(batch: dict) -> Tensor:
        z = model.neck(model.backbone(preprocessed_images(model, batch)))
        return LF.assign_groups(z, model.head.groups.rows).cpu()

    loader = Runner.build_dataloader(loader_of(cfg, args.split), seed=0)
    images = collect(loader, assign, f'groups of {path}')
    count = int((images.labels < 0).sum())
    if count:
        raise SetupError(f'{count} of {len(images.labels)} images have no label, which the entropy of classes needs')
    if not images.indices.equal(torch.arange(len(images.indices))):
        raise SetupError(f'the {args.split} loader must yield the images in order: shuffle=False')
    return Grouping(model, loader.dataset, images.values, images.labels)


def summary(entropy: Tensor, sizes: Tensor, reference: Tensor) -> dict[str, float]:
    """Summarize the entropies of the groups, and those with shuffled labels."""
    used = sizes > 0
    weights = sizes[used].double() / sizes.sum()
    return dict(
        groups=len(sizes),
        share_used=used.double().mean().item(),
        largest_share=sizes.max().item() / sizes.sum().item(),
        entropy=entropy[used].mean().item(),
        entropy_shuffled=reference[used].mean().item(),
        entropy_by_image=(entropy[used] * weights).sum().item(),
        entropy_by_image_shuffled=(reference[used] * weights).sum().item(),
    )


def class_shares(labels: Tensor, names: list[str]) -> str:
    """Return the three most frequent classes and their shares."""
    counts = labels.bincount()
    top = counts.argsort(descending=True, stable=True)[:3].tolist()
    return '\n'.join(f'{names[k]} {100 * counts[k].item() / len(labels):.0f} %' for k in top if counts[k])


def contact_sheet_rows(grouping: Grouping, entropy: Tensor, groups: list[int], columns: int) -> list:
    """Return a text and images of each group, spread evenly over its images."""
    names = list(getattr(grouping.dataset, 'metainfo', {}).get('classes') or [])
    names = names or [str(k) for k in range(int(grouping.labels.max()) + 1)]
    rows = []
    for k in groups:
        members = (grouping.assignment == k).nonzero().flatten()
        shown = members[evenly_spaced(len(members), columns)].tolist()
        images = torch.stack([grouping.dataset[i]['inputs'] for i in shown])
        text = f'{len(members)} images, entropy {entropy[k]:.2f}\n{class_shares(grouping.labels[members], names)}'
        rows.append((text, to_rgb(images, grouping.model)))
    return rows


def draw_sheet(name: str, grouping: Grouping, entropy: Tensor, args: argparse.Namespace) -> None:
    """Write a sheet of the purest and the most mixed groups."""
    sizes = grouping.assignment.bincount(minlength=len(entropy))
    purest, mixed = pick_groups(entropy, sizes, args.rows, args.columns)
    if not purest:
        print(f'{name}: no group has {args.columns} images, so there is no sheet; try fewer --columns')
        return
    rows = contact_sheet_rows(grouping, entropy, purest + mixed, args.columns)
    title = f'{name}: the {len(purest)} purest groups and, below, the {len(mixed)} most mixed (entropy in nats)'
    draw_contact_sheet(rows, args.columns, title).savefig(args.out / f'groups_{name}.png')


def draw_resets(args: argparse.Namespace) -> None:
    """Write the curves that were logged at the resets, of the checkpoints with a log in their folder."""
    runs: dict[str, dict[str, Curve]] = {}
    for path, name in zip(args.checkpoints, args.names):
        try:
            curves = read_curves(Path(path).resolve().parent)
        except FileNotFoundError:
            curves = {}
        runs[name] = {key: curve for key, curve in curves.items() if key.startswith('groups_')}
        if not runs[name]:
            print(f'{name}: no log of resets beside {path}, so its curves are not drawn')
    runs = {name: curves for name, curves in runs.items() if curves}
    if runs:
        draw_curves(runs, columns=2).savefig(args.out / 'resets.png')


def main() -> None:
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    entropies, references, results, num_classes = {}, {}, {}, 0
    print('| groups of | used, % | entropy | labels shuffled | by image | labels shuffled |')
    print('|---' * 6 + '|')
    for path, name in zip(args.checkpoints, args.names):
        grouping = read_groups(path, args)
        num_groups = grouping.model.head.groups.num_groups
        entropy = LF.group_entropy(grouping.assignment, grouping.labels, num_groups)
        reference = shuffled_entropy(grouping.assignment, grouping.labels, num_groups)
        numbers = summary(entropy, grouping.assignment.bincount(minlength=num_groups), reference)
        results[name] = dict(checkpoint=str(path), **numbers)
        entropies[name], references[name] = entropy, reference
        num_classes = max(num_classes, int(grouping.labels.max()) + 1)
        columns = ('entropy', 'entropy_shuffled', 'entropy_by_image', 'entropy_by_image_shuffled')
        cells = [f'{100 * numbers["share_used"]:.0f}', *(f'{numbers[column]:.3f}' for column in columns)]
        print(f'| {name} | {" | ".join(cells)} |')
        draw_sheet(name, grouping, entropy, args)
    draw_entropy_density(entropies, references, num_classes).savefig(args.out / 'entropy.png')
    draw_resets(args)
    content = dict(split=args.split, num_classes=num_classes, results=results)
    (args.out / 'group_quality.json').write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
    print(f'Figures and numbers written to {args.out}')


if __name__ == '__main__':
    run_main(main, FileNotFoundError)
