"""Metrics, traces and logs: every instrument is defined here, none is used here."""
