# MSBReg on garment scenes, K = 2.
_base_ = './msbreg-k4_resnet10_1xb64-24e_garment-scenes.py'
data_preprocessor = dict(views=_base_.views[:1] * 2)
