# MoCo v2's scheme at 32 px, applied on the device by BatchViews. No blur, as is usual for images this small.
views = [dict(size=32, crop_scale=(0.2, 1.0), saturation=0.4)] * 2
