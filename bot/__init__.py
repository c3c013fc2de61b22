"""The names a bot imports; everything behind them is krakenonce."""
