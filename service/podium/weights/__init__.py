"""From a model's URI to a complete folder on disk; `fetch` is the way in. Nothing here reads weights."""
