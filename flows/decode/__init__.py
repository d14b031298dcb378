"""From bytes to rows: the compiled scanner, the authority that explains, and what an event is in numbers."""
