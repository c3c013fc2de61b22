"""One process that owns the Kraken keys; bots in any language send their calls through it with keys of its own."""
