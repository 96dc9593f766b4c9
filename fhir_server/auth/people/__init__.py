"""People who sign in: accounts, roles, passwords, second factors, sessions, and how often one may fail."""
