"""The server: a FHIR R4 API over PostgreSQL, with SMART access and an audit trail."""
