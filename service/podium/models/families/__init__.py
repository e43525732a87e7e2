"""One file a family: how its folders are recognised and how they score, as functions of a `Folder`; one table."""
