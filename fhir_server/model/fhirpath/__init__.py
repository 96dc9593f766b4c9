"""FHIRPath N1 with the functions of FHIR R4, compiled to closures (https://hl7.org/fhirpath/N1/)."""

from fhir_server.model.fhirpath.compiled import Compiled, compile_path
from fhir_server.model.fhirpath.errors import FhirPathError
from fhir_server.model.fhirpath.extract import Extractor, extractor
from fhir_server.model.fhirpath.runtime import Services
from fhir_server.model.fhirpath.types import Node

__all__ = ["Compiled", "Extractor", "FhirPathError", "Node", "Services", "compile_path", "extractor"]
