"""A testbed that the repository can make by itself: tinted garments on photographs."""
