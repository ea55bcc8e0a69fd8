# Garment scenes of 64 pixels with one to four garments, each about as large as in the scenes of 32 for pretraining:
#   python tools/data/make_garment_scenes.py --kind multi --out data/garment_scenes_transfer --size 64 --scale 0.3 0.6 \
#       --clutter 0.2 --num-train 1000 --num-val 500
# The two detection recipes add their dataset.
classes = (
    't-shirt', 'trouser', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag', 'ankle-boot',
)
data_root = 'data/garment_scenes_transfer/'
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type='pseudo_collate'),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=50,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type='pseudo_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader
