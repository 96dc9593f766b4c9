"""Profiles of psychiatric measurement and of what the twin writes: tables, and the conformance resources made of them."""
