"""One file per kind of search parameter: how its values are read, what is stored for it, and which condition finds that."""
