"""EfficientNet-Lite with weights from ImageNet, as plugin of kdcore. Imports no torch."""
