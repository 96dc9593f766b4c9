"""Search: what a query means, and what a resource is found by."""
