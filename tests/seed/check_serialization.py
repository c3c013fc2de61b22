from bot.global_kraken_nonce import get_global_nonce_stats

stats = get_global_nonce_stats()
print(f"API serialization enabled: {stats['api_serialization_enabled']}")
print(f"Total nonces issued: {stats['total_nonces_issued']}")
