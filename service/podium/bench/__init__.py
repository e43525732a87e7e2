"""`podium bench`: how fast this machine is, how fast Podium is on it, and how fast the usual way would be.

Everything of one table is measured in one run, because machines and hours differ.
"""
