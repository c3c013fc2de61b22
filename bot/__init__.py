"""The names that bots import; the code is in krakenonce."""
