"""What is drawn in a cell: the card, pictures."""
