"""What a worker does about what was committed, one kind of job a file."""
