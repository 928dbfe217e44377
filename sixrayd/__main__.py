"""`python -m sixrayd` is the command `sixrayd`."""

from sixrayd.cli import main

if __name__ == "__main__":
    main()
