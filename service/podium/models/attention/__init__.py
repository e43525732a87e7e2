"""Attention inside each pair of a packed batch, by the fastest way that the device has."""
