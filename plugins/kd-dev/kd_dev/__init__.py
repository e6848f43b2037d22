"""For authors of plugins: `kd_dev.testing` is the conformance kit."""
