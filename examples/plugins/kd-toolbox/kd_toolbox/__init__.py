"""One thing of every role that a plugin of kdcore can add. Imports no torch."""
