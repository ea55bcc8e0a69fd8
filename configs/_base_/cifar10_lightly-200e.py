# lightly's benchmark on CIFAR-10, the ResNet-18 of 200 epochs: data, views, network, optimizer, schedule, k-NN. Sources:
# [1] the package lightly 1.6.0 (MIT).
# [2] docs/source/getting_started/benchmarks/cifar10_benchmark.py of its repository, which no package contains. These numbers
#     are from memory of the published script, to be checked.
# Unlike the script, which has float32, a GPU trains in bfloat16.
_base_ = ['./datasets/cifar10.py', './default_runtime.py']

# [2] ResNetGenerator('resnet-18'). [1] models/resnet.py: 3 x 3 stem without pooling, torch's own initialization, residual
# branches that do not start at zero.
backbone = dict(type='ResNet_CIFAR', depth=18, norm_cfg=dict(type='BN'), zero_init_residual=False, init_cfg=[])

# [2] SimCLRTransform(input_size=32, cj_strength=0.5, gaussian_blur=0). [1] transforms/simclr_transform.py: crops of 0.08 to
# 1, jitter 0.8 x 0.5 with hue 0.2 x 0.5, with a probability of 0.8, gray 0.2, flip 0.5, ImageNet's mean and deviation.
views = [dict(size=32, crop_scale=(0.08, 1.0), brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)] * 2
data_preprocessor = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], views=views)
train_dataloader = dict(batch_size=128, num_workers=4)  # batch: the table of the benchmark
bank_dataloader = dict(num_workers=4)
val_cfg = dict(bank_dataloader=bank_dataloader)

# [2] SGD(lr=6e-2 * batch_size / 128, momentum=0.9, weight_decay=5e-4) on all parameters, CosineAnnealingLR(max_epochs) by
# epoch, no warm-up.
max_epochs = 200
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.06, momentum=0.9, weight_decay=5e-4))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=max_epochs, by_epoch=True, begin=0, end=max_epochs)]
train_cfg = dict(max_epochs=max_epochs)
auto_scale_lr = dict(base_batch_size=128)

# [1] utils/benchmarking: knn_k=200, knn_t=0.1, cosine, backbone features. The published figure is the best of all epochs.
val_evaluator = [
    dict(type='lewel_plugins.KNNMetric', k=(5, 20, 200), temperature=0.1),
    dict(type='lewel_plugins.RepresentationMetric'),
]
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))
