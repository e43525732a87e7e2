"""Linear layers, each way proved on a probe when a model is loaded."""
