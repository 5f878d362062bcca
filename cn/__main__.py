"""`python -m cn`: the command line."""

from cn.app import main

if __name__ == "__main__":  # worker processes import this file too
    main()
