"""What nobody has seen on an accelerator yet, in one command: `python -m benchmarks gpu --minutes 10`."""
