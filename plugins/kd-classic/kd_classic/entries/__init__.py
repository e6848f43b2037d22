"""The entries of this plugin's distillers, a module per family. None imports torch."""
