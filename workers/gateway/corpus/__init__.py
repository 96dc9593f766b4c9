"""Clinical notes made up with a seed, every identifier in them marked; shares no code and no list with `deid`."""
