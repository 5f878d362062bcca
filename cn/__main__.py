"""`cn` and `python -m cn`: the command line."""

import sys


def main() -> None:
    """The console script. An interrupt while modules are loaded, before `cn.app` sees to it, gives no traceback."""
    try:
        from cn.app import main as run
    except KeyboardInterrupt:
        sys.stderr.write("cn: interrupted\n")
        sys.exit(130)
    run()


if __name__ == "__main__":  # worker processes import this file too
    main()
