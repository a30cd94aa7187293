"""Images to begin with: real ones that PyPI packages ship, and made-up patients."""
