"""R4 Consent: what a patient allows, as a condition of the policy."""
