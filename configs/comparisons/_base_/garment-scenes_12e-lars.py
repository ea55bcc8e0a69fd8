# As garment-scenes_12e.py, with the optimizer of garment-scenes_6e-lars.py, which all methods can be trained with.
_base_ = './garment-scenes_12e.py'
options = {
    'optim_wrapper.optimizer': dict(_delete_=True, type='lewel_plugins.LARS', lr=3.0, momentum=0.9, weight_decay=1e-6),
}
