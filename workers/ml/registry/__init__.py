"""Models as data: a card, checkpoints that are checked before they are read, and both as FHIR and as a page."""
