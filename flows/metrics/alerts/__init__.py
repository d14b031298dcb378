"""What may alert, as data: the shapes that an alert can have, and what each family declares in them."""
