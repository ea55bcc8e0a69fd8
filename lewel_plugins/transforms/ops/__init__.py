"""Augmentation operations: on one image of 8 bits, and on a batch of tensors. README.md gives the reasons for them."""
