from bot.global_kraken_nonce import get_global_nonce_manager

# Get manager twice
manager1 = get_global_nonce_manager()
manager2 = get_global_nonce_manager()

# Should be same instance
assert manager1 is manager2, "Singleton pattern broken"
print("✅ Singleton test passed")
