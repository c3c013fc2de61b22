"""Strategies for freqtrade, which looks for them in this folder alone."""
