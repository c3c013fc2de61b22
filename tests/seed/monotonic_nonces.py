from bot.global_kraken_nonce import get_global_kraken_nonce

nonces = []
for i in range(10):
    nonce = get_global_kraken_nonce()
    nonces.append(nonce)

# Check all nonces are strictly increasing
for i in range(1, len(nonces)):
    assert nonces[i] > nonces[i-1], f"Nonce not monotonic: {nonces[i]} <= {nonces[i-1]}"

print("✅ Monotonic test passed")
print(f"   Nonces generated: {nonces[0]} → {nonces[-1]}")
