"""Facts of the standard as tables, with their provenance and the script that makes them."""
