"""ReviewKD (Chen et al., CVPR 2021), as plugin of kdcore. Imports no torch."""
