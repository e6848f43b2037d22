"""The classifiers of torchvision, as plugin of kdcore. Imports no torch."""
