"""How many small faults in the policy compiler the tests notice: `python -m tests.mutation`."""
