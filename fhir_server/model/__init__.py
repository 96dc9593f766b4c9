"""What a resource is: no database, no HTTP."""
