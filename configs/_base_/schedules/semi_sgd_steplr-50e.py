# LEWEL Sec. 4.2: 50 epochs, a tenth at 30 and 40. The paper names neither batch nor weight decay: 256 images, none, as in
# its linear evaluation.
_base_ = './semi_sgd.py'
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[30, 40], gamma=0.1)]
train_cfg = dict(max_epochs=50)
