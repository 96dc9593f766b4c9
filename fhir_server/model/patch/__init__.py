"""Patch: JSON Patch and FHIRPath Patch over resources as dicts."""
