"""The commands behind `./clarity`."""
