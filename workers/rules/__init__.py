"""Clinical alert rules: evaluation without database, HTTP or clock."""
