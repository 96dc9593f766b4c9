"""The administration API: clients, people and roles for programs that manage access."""
