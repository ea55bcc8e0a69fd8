# BYOL's two asymmetric schemes at 224 px (Grill et al. 2020, App. B), with crops of 0.2 to 1 of the area as in LEWEL's
# released recipe.
views = [
    dict(size=224, crop_scale=(0.2, 1.0), interpolation='bicubic', blur=1.0),
    dict(size=224, crop_scale=(0.2, 1.0), interpolation='bicubic', blur=0.1, solarize=0.2),
]
