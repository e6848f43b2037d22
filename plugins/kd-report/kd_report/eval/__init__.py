"""`kd eval`: accuracy, calibration, speed and size of a model, compared with its teacher."""
