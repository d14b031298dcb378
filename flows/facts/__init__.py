"""Facts: what some events tell beyond their name, user and time, each kind of it declared once."""
