"""Who may: tokens and the clients that get them, SMART scopes, and the one function that decides access."""
