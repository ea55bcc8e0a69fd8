"""Export the online backbone of a checkpoint: ``python tools/export_backbone.py CKPT --out FILE [--to LIBRARY]``.

openmmlab    for ``init_cfg=dict(type='Pretrained', checkpoint=FILE, prefix='backbone.')`` of any OpenMMLab config
mmdet        the same, checked with mmdet's own backbone
torchvision  for ``torchvision.models.resnet50().load_state_dict(torch.load(FILE), strict=False)`` and the like
timm         for ``timm.create_model('resnet50', num_classes=0).load_state_dict(torch.load(FILE))`` and the like
detectron2   for ``MODEL.WEIGHTS FILE``
safetensors  OpenMMLab's names, in a file that cannot hold anything but tensors
onnx         for onnxruntime and others, with the last feature as output

Before the file gets its name, the tool loads it into the library's own network and compares the features of a batch
with those of the checkpoint. For detectron2, it converts the names back and loads OpenMMLab's network. Where timm,
mmdet or onnxruntime is not installed, it prints that no features were compared.
"""

import argparse
from pathlib import Path

from mmengine.logging import MMLogger

from lewel_plugins.api.export import check_target
from lewel_plugins.checkpoints.export import LIBRARIES, PREFIX, export_backbone
from lewel_plugins.planning.weights import weights_file
from lewel_plugins.running import setup
from lewel_plugins.running.entry_point import run_main


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'checkpoint', help='checkpoint of a training, folder of a run, or an exported or imported backbone'
    )
    parser.add_argument('--out', type=Path, required=True, metavar='FILE', help='file to write')
    parser.add_argument(
        '--to', choices=LIBRARIES, default='openmmlab', help='library to export to (default: openmmlab)'
    )
    parser.add_argument('--config', help='config file (default: the config in the checkpoint)')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    MMLogger.get_instance('mmengine', log_level='WARNING')
    config = None if args.config is None else setup.load_config(args.config)
    weights = weights_file(args.checkpoint)
    check_target(args.out, weights)
    exported = export_backbone(weights, args.to, args.out, config)
    for line in exported.lines():
        print(line)
    if args.to in ('openmmlab', 'mmdet'):
        print(f"Use it as\n  init_cfg=dict(type='Pretrained', checkpoint='{args.out}', prefix='{PREFIX}')")


if __name__ == '__main__':
    run_main(main)
