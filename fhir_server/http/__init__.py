"""The HTTP face: dispatch, negotiation, headers, rendering, the edge."""
