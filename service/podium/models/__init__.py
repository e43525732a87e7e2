"""Models: token ids in, logits out. The only floor that imports torch and transformers."""
