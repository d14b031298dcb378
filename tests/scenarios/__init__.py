"""Golden stories: what happened, and what a product manager must see at which moment, worked out by hand."""
