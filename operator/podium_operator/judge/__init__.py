"""What should be against what is: the plan, whose field it is, and what was refused before.

Rule: neither renders nor words anything for people; `tell` is beside it, not below.
"""
