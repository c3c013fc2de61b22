import threading
from bot.global_kraken_nonce import get_global_kraken_nonce

nonces = []
lock = threading.Lock()

def generate_nonces():
    for _ in range(100):
        nonce = get_global_kraken_nonce()
        with lock:
            nonces.append(nonce)

# Create 10 threads
threads = []
for _ in range(10):
    thread = threading.Thread(target=generate_nonces)
    threads.append(thread)
    thread.start()

# Wait for all threads
for thread in threads:
    thread.join()

# Check all nonces are unique
assert len(nonces) == len(set(nonces)), "Duplicate nonces detected"
print("✅ Thread safety test passed")
print(f"   Generated {len(nonces)} unique nonces across 10 threads")
