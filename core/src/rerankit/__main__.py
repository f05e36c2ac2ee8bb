"""``python -m rerankit``."""

from rerankit.cli import main

if __name__ == "__main__":
    main()
