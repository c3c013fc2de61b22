from bot.global_kraken_nonce import get_global_nonce_manager
import os

# Generate nonce
manager = get_global_nonce_manager()
nonce1 = manager.get_nonce()

# Check file exists
nonce_file = os.path.join('data', 'kraken_global_nonce.txt')
assert os.path.exists(nonce_file), "Nonce file not created"

# Read persisted value
with open(nonce_file, 'r') as f:
    persisted = int(f.read().strip())

assert persisted == nonce1, f"Persisted nonce mismatch: {persisted} != {nonce1}"
print("✅ Persistence test passed")
print(f"   Nonce persisted: {persisted}")
