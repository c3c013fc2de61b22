"""Code as users write it, for the type checkers: ``make lint`` checks these files, and nothing runs them."""
