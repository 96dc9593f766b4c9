"""What a client can do: one FHIR REST interaction a file."""
