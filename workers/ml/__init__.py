"""Predictions that state what they are worth."""
