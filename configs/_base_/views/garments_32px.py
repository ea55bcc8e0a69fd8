# One scheme for both views and all methods, found with SimCLR's loss (docs/results/README.md). Garments and photographs
# are tinted at random, so that colour is the shortcut: the hue is turned over the whole circle, always. A garment
# fills the frame, and smaller crops hold no shape to recognise.
views = [
    dict(size=32, crop_scale=(0.6, 1.0), jitter=1.0, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.5, gray=0.3)
] * 2
