"""Files of tensors: described from their headers, read without running anything, written atomically.

Nothing here knows what the tensors are for.
"""
