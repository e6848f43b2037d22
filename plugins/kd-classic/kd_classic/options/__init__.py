"""The options of this plugin's distillers, a module per family. None imports torch.

The defaults of a method are those of its authors' own code. If that has several recipes: KD and DKD use the
CIFAR-100 values, which are the defaults of mdistiller's configuration. NKD and DIST use the defaults of the
authors' loss classes, which are their ImageNet recipes; the CIFAR-100 values are in the descriptions.
"""
