"""The authorization code flow of SMART App Launch 2.2, from the request of an app to tokens and their end."""
