"""Work on an existing Ray cluster: the connection, and units of work that its nodes do. `--engine ray` uses it.

cn must be installed on all nodes, in the same version, as Ray and Python must: Ray could send the code of cn, but not
OpenCV and torch. What is read must be visible to all of them, by the same path or URL.
"""
