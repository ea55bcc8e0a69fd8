# MSBReg's scheme (Table 9) for images of 32 px, made on the device by BatchViews: without blur, as is usual for images
# as small as these. The same for all K views. The paper gives no range of the crop.
view = dict(size=32, crop_scale=(0.2, 1.0), solarize=0.2)
