"""Predictors made of parts, the model in a run folder, predictors measured on data."""
