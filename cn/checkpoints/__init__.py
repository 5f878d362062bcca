"""Checkpoints of bases and controls in every layout: identified by content, read safely, converted, written.

`read.load` reads any layout into networks, `write.native` writes cn's own files, `write.plan` and `write.writer`
convert between layouts, `transfer` moves a control to another base, and `read.inspection` describes a file.
"""
