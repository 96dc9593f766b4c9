"""Answers about a patient: every model asked with what the twin knows, and what they say as RiskAssessments."""
