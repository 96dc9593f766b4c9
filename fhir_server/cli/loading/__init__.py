"""What `load` is made of: where resources come from, how they are sent, what was loaded already, what went wrong."""
