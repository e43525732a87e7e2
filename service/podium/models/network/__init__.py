"""The networks: packed or padded forward, the ends that heads read, the heads."""
