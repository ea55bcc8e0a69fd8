# CIFAR-10 for the small recipes: batches of 128, one scheme for both views of all methods, one worker per loader.
_base_ = ['./cifar10.py', '../views/mocov2_32px.py']
data_preprocessor = dict(views=_base_.views)
train_dataloader = dict(batch_size=128, num_workers=1)
bank_dataloader = dict(num_workers=1)
val_dataloader = dict(num_workers=1)
val_cfg = dict(bank_dataloader=dict(num_workers=1))
test_dataloader = dict(num_workers=1)
test_cfg = dict(bank_dataloader=dict(num_workers=1))
