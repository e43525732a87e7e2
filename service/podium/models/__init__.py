"""Models: token ids in, logits out. The only floor that imports torch and transformers."""

import os

# Read by OpenMP when torch is first imported, so it stands here. By default a thread that waits for the next
# product spins for milliseconds: where another program, or our own tokenizer, needs the core meanwhile, the
# model becomes twice as slow or worse (measured). 20,000 turns, under half a millisecond, outlast the gap
# between two products; with 1,000 a large model in small batches was 4 % slower.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
# Read by oneDNN's cache of products and by torch's above it. Both remember 1,024 by their shapes, about a MiB
# each, so that the memory of a pod grows for half an hour. A new shape costs 0.7 ms: nothing that is seen in
# full batches, 11 % of the built-in model's speed in batches of a few pairs.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")
os.environ.setdefault("LRU_CACHE_CAPACITY", "64")
