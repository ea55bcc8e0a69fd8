# The learning rate of each method on CIFAR-10: three rates at half the length of the recipes, one seed. The networks
# train on 45,000 of the training images, and the other 5,000 give the score, so that no test image takes part.
_base_ = ['./_base_/cifar10_methods.py', './_base_/cifar10_search.py']
name = 'rates_cifar10'
title = 'Learning rates on CIFAR-10'
question = 'Which of three rates of SGD is the best for each method?'

# group_schedule(images=45000, batch_size=128, epochs=5)
smog = {'model.head.end_beta': 0.85, 'model.momentum': 0.017, 'custom_hooks.0.interval': 18}
rows = [
    dict(
        name=f'{name}, {lr}',
        config=method.config,
        options={**method.options, **(smog if name.startswith('SMoG') else {}), 'optim_wrapper.optimizer.lr': lr},
        baseline=f'{name}, 0.1',
        series=name,
        value=lr,
    )
    for name, method in _base_.shared.items()
    for lr in (0.1, 0.3, 0.03)
]
del smog
