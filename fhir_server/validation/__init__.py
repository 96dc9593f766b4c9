"""Is it right: one door (`validate`), a fast check, and a slow walk that explains what is not."""
