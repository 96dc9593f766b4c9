"""The twin, pure: Observations to signal blocks, blocks to features, baseline and state, states to FHIR resources."""
