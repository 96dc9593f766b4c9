"""Messages to people: decisions, templates, transports."""
