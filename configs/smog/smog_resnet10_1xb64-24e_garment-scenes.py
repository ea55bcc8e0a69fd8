# SMoG on garment scenes. Groups, teacher and resets have the ratios of the paper: group_schedule(images=8000,
# batch_size=64, epochs=24). smog_ratios-24e_garment-scenes.py compares them with resets every 100 iterations of 300 groups,
# which this recipe had before. Memory: about 30 MB.
_base_ = [
    '../_base_/models/smog_resnet50.py',
    '../_base_/datasets/garment-scenes_32px.py',
    '../_base_/garment-scenes_24e.py',
]
model = dict(
    backbone=dict(_delete_=True, type='lewel_plugins.ResNet10'),
    neck=dict(in_channels=128, hid_channels=128, out_channels=64),
    head=dict(hid_channels=128, num_groups=46, end_beta=0.907),
    momentum=0.01,
)
custom_hooks = [dict(type='lewel_plugins.SMoGResetHook', interval=30)]
