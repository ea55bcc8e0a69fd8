# MoCo v2's scheme at 96 px, applied on the device by BatchViews.
views = [dict(size=96, crop_scale=(0.2, 1.0), saturation=0.4, blur=0.5)] * 2
