"""Foreign formats into samples, samples into Observations: pure, no database, no HTTP, no clock."""
