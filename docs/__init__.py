"""The documentation; ``python -m docs`` builds a site of it."""
