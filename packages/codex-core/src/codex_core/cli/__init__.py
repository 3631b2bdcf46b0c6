"""The command line: the room that wires all others together. Data goes to stdout, everything else to stderr."""
