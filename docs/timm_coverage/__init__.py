"""What of timm works with kd: every model on the meta device, the smallest of each class with numbers.

`docs/coverage.py` runs it and writes docs/coverage.json and docs/coverage.md.
"""
