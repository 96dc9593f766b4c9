"""XML in and out (R4 `xml.html`): the other way to write what JSON writes, by the same element tables."""
