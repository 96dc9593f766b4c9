"""What codes mean: units of measure."""
