"""`kd eval`: how good, how well calibrated, how fast and how large a model is, beside its teacher."""
