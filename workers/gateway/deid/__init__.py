"""De-identification, pure: text and what is known of a record in, text without identifiers and the way back out."""
