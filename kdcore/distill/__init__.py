"""Distillation: student, teacher and distillers as one module, with what its losses share."""
