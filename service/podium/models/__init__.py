"""Models: token ids in, logits out. The only floor that imports torch and transformers."""

import os

# Read by OpenMP when torch is first imported, so it stands here. By default a thread that waits for the next
# product spins for milliseconds: where another program, or our own tokenizer, needs the core meanwhile, the
# model becomes 3 to 8 times slower (measured). 1,000 turns, some 20 µs, outlast the gap between two products.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
