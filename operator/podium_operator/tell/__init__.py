"""What people and programs are told: conditions, status and Events, from one view of everything.

Rule: pure; what is wrong is found in `seen`, the words and the order of what counts stand here.
"""
