"""The options of this plugin's distillers, a module per family. None imports torch.

Weights and settings are those of RepDistiller's scripts, the CIFAR-100 recipes that later papers compare with. One
group of authors made its table of methods, and checked it with the authors of several methods.
"""
