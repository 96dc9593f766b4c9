"""The function table: every function of FHIRPath N1 and FHIR R4 by name."""

from __future__ import annotations

from fhir_server.model.fhirpath import (
    functions_collection,
    functions_convert,
    functions_dates,
    functions_fhir,
    functions_lambda,
    functions_math,
    functions_string,
    functions_types,
)
from fhir_server.model.fhirpath.runtime import Table

FUNCTIONS: Table = {
    **functions_collection.TABLE,
    **functions_lambda.TABLE,
    **functions_convert.TABLE,
    **functions_string.TABLE,
    **functions_math.TABLE,
    **functions_dates.TABLE,
    **functions_types.TABLE,
    **functions_fhir.TABLE,
}
