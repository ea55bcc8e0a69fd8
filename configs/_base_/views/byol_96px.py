# BYOL's two asymmetric schemes at 96 px, applied on the device by BatchViews.
views = [
    dict(size=96, crop_scale=(0.2, 1.0), blur=1.0),
    dict(size=96, crop_scale=(0.2, 1.0), blur=0.1, solarize=0.2),
]
