"""Files ↔ models: recognize by content, map the names, read safely, write whole.

`load` reads any layout into networks, `native` writes our own files, `convert` and `inspection` serve the commands.
"""
