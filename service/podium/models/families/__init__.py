"""One file a family: how its folders are recognised and how they score, as functions of a `Folder`.

The files neither import each other nor know one another's names; `table` lists them.
"""
