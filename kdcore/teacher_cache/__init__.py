"""The teacher's outputs on the disk: one row for each augmentation of each sample.

A cache is a folder: `manifest.json`, a binary file for each field (logits, embedding, feature maps), and the checksums
of the rows. It belongs to no single run: every spec with the same teacher, data, augmentations and seed uses it.
"""
