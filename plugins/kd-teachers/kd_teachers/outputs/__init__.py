"""Tables of outputs: what a teacher that runs elsewhere said of each image, as a teacher."""
