"""Keeping: commit, read, history, outbox, jobs, signal blocks and keys; knows tables, not FHIR."""
