"""`python -m distexpand`."""

from distexpand.cli.main import main

if __name__ == "__main__":
    main()
