from bot.global_kraken_nonce import get_global_kraken_nonce, get_kraken_api_lock

# Serialize API call with lock
with get_kraken_api_lock():
    nonce = get_global_kraken_nonce()
    params = {'nonce': nonce}
    result = api.query_private('Balance', params)
