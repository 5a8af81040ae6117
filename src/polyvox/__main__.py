"""`python -m polyvox`: the command line."""

from polyvox.cli import main

if __name__ == "__main__":
    main()
