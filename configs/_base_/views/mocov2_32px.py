# MoCo v2's scheme for images of 32 px, made on the device by BatchViews: without blur, as is usual for images as
# small as these.
views = [dict(size=32, crop_scale=(0.2, 1.0), saturation=0.4)] * 2
