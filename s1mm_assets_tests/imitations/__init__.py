"""Local servers that answer as those of the outside do, refusals and faults included."""
