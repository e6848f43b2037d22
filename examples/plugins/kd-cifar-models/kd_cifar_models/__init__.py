"""The networks of the CIFAR distillation tables, as plugin of kdcore. Imports no torch."""
