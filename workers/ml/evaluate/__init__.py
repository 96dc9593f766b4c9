"""Honest evaluation: splits by person, metrics with their intervals, tables that one command reprints."""
