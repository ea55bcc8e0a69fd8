# BYOL's two asymmetric schemes at 224 px (Grill et al. 2020, App. B), crops of 0.08 to 1 of the area.
views = [
    dict(size=224, crop_scale=(0.08, 1.0), interpolation='bicubic', blur=1.0),
    dict(size=224, crop_scale=(0.08, 1.0), interpolation='bicubic', blur=0.1, solarize=0.2),
]
