"""The process that owns the DIMSE sockets: a parent that accepts, children that serve associations in threads."""
