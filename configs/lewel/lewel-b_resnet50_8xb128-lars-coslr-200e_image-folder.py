# LEWEL_B on one's own folder of unlabelled images:
#   python tools/train.py THIS --cfg-options train_dataloader.dataset.dataset.data_root=/my/images
_base_ = [
    '../_base_/models/lewel-b_resnet50.py',
    '../_base_/datasets/image-folder.py',
    '../_base_/schedules/lars_coslr-200e.py',
    '../_base_/default_runtime.py',
]
auto_scale_lr = dict(base_batch_size=1024)
