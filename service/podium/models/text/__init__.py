"""Text in, token ids out: the callers' tokenizer, templates, and how a pair is brought to the length."""
