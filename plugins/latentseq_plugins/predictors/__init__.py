"""Built-in predictors of frames."""
