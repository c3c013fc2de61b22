from bot.global_kraken_nonce import get_global_kraken_nonce

# Generate nonce for Kraken API call
nonce = get_global_kraken_nonce()

# Use in API request
params = {'nonce': nonce, 'pair': 'XXBTZUSD'}
result = api.query_private('Balance', params)
