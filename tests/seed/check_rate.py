from bot.global_kraken_nonce import get_global_nonce_stats

stats = get_global_nonce_stats()
print(f"Nonces per second: {stats['nonces_per_second']:.2f}")
print(f"Average: ~{60/stats['nonces_per_second']:.1f} seconds between calls")
