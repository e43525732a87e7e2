"""Models: token ids in, logits out. The only floor that imports torch and transformers."""

import os

# Read by OpenMP when torch is first imported, so it stands here. By default a thread that waits for the next
# product spins for milliseconds: where another program, or our own tokenizer, needs the core meanwhile, the
# model becomes twice as slow or worse (measured). 20,000 turns, under half a millisecond, outlast the gap
# between two products; with 1,000 a large model in small batches was 4 % slower.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
# Read by torch's cache of products above oneDNN's own. Both remember 1,024 by their shapes, and with both
# batches of ever other lengths took gigabytes. oneDNN's alone takes up to 760 MiB; with 64 in place of 1,024
# the built-in model is 15 % slower in small batches.
os.environ.setdefault("LRU_CACHE_CAPACITY", "64")
