# SMoG by the numbers of lightly's benchmark, whose 200-NN is 74.3 %. [1] and [2]: see the base. Only the numbers are
# from lightly. The method is that of this package: spherical K-means on unit features, unit groups, biases in no layer.
_base_ = ['../_base_/models/smog_resnet50.py', '../_base_/cifar10_lightly-200e.py']
model = dict(
    backbone=dict(_delete_=True, **_base_.backbone),
    neck=dict(in_channels=512),  # [2] SMoGProjectionHead(512, 2048, 128)
    # [2] SMoGPredictionHead(128, 2048, 128), n_groups=300, beta=0.99, temperature=0.1.
    head=dict(hid_channels=2048, num_groups=300, beta=0.99, end_beta=None, temperature=0.1),
    momentum=0.01,  # [2] update_momentum(…, 0.99)
)
# [2] groups and teacher are reset every 300 steps, from a memory bank of 10,000 features; 78 steps have 9,984. The groups
# start at random.
custom_hooks = [dict(type='lewel_plugins.SMoGResetHook', interval=300, window=78, start='random')]
# [2] SMoGTransform(crop_sizes=(32, 32), crop_counts=(1, 1), gaussian_blur_probs=(0, 0), crop_min_scales=(0.2, 0.2),
# crop_max_scales=(1, 1)). [1] transforms/smog_transform.py: jitter 0.8 x 0.5, saturation 0.4 x 0.5, always; solarization 0.2
# in the second view.
view = dict(size=32, crop_scale=(0.2, 1.0), jitter=1.0, brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1)
data_preprocessor = dict(views=[view, dict(view, solarize=0.2)])
