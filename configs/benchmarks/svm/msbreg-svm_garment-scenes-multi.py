# VOC07's linear SVMs on garment scenes (tools/data/make_garment_scenes.py --kind multi), which enter the network at
# their own size.
_base_ = './msbreg-svm_voc07.py'

data_root = 'data/garment_scenes_multi/VOC2007'
metainfo = dict(
    classes=['t-shirt', 'trouser', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag', 'ankle-boot']
)
pipeline = [dict(type='lewel_plugins.LoadRGB'), dict(type='PackInputs')]
model = dict(head=dict(num_classes=10))
train_dataloader = dict(
    num_workers=1, dataset=dict(data_root=data_root, split='train', metainfo=metainfo, pipeline=pipeline)
)
test_dataloader = dict(
    num_workers=1, dataset=dict(data_root=data_root, split='val', metainfo=metainfo, pipeline=pipeline)
)
svm = dict(shots=(1, 2, 4, 8, 16, 32, 64))
