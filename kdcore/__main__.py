"""`python -m kdcore` is the `kd` command."""

from kdcore.cli import main

if __name__ == "__main__":
    main()
