"""One API key: its turn, its rate limits, what Kraken's methods are, and what Kraken's refusals mean."""
