"""Models: token ids in, logits out. The only floor that imports torch and transformers."""

import os

# Read by OpenMP when torch is first imported, so it stands here. By default a thread that waits for the next
# product spins for milliseconds: where another program, or our own tokenizer, needs the core meanwhile, the
# model becomes twice as slow or worse (measured). 20,000 turns, under half a millisecond, outlast the gap
# between two products; with 1,000 a large model in small batches was 4 % slower.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
# Read by oneDNN and by torch's cache above it. Each remembers 1,024 products by their shapes, and with each a
# buffer as large as its result: batches of ever other lengths would take gigabytes. 64 serve two batches.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
os.environ.setdefault("LRU_CACHE_CAPACITY", "64")
