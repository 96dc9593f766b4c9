"""The HTML face: any URL of the API opened in a browser is a readable page."""
