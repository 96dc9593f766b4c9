"""The bench behind `./clarity bench`: its own instance in a temporary folder, a light load generator, stated workloads."""
