"""The program ``python -m clientdemo``."""

from clientdemo.cli import main

if __name__ == "__main__":
    main()
