"""The teacher's outputs on the disk: one row for each augmentation of each sample.

A cache is a folder of its own: `manifest.json`, a raw file for each field (logits, embedding, feature maps), and the
checksums of the rows. It belongs to no run: whatever spec has the same teacher, data, augmentations and seed finds it.
"""
