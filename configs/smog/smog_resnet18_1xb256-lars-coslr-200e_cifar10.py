# SMoG with ResNet-18 on CIFAR-10 for 200 epochs.
_base_ = './smog_resnet18_1xb256-lars-coslr-800e_cifar10.py'
# Groups, teacher and resets have the ratios of the paper: group_schedule(images=50000, batch_size=256, epochs=200).
model = dict(head=dict(num_groups=180, end_beta=0.9926), momentum=0.00077)
custom_hooks = [dict(type='lewel_plugins.SMoGResetHook', interval=390)]
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=190, end=200)]
train_cfg = dict(max_epochs=200)
