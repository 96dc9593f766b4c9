"""Tools that know nothing of FHIR."""
