"""Who is told of what changed, what they are told, and that they may know it."""
