"""The FHIR R4 specification as data: tables compiled once by `build`, read by `registry` alone."""
