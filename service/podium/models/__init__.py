"""Models: token ids in, logits out. The only floor that imports torch and transformers."""

import os

# Read by OpenMP when torch is first imported, so it stands here. By default a thread that waits for the next
# product spins for milliseconds: where another program, or our own tokenizer, needs the core meanwhile, the
# model becomes 2 to 6 times slower (measured). 1,000 turns, some 20 µs, outlast the gap between two products.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
# Read by oneDNN and by torch's cache above it. Each remembers 1,024 products by their shapes, and with each a
# buffer as large as its result: batches of ever other lengths would take gigabytes. 64 serve two batches.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
os.environ.setdefault("LRU_CACHE_CAPACITY", "64")
