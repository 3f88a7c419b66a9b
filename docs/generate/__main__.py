"""`python -m docs.generate`: write the reference pages from the program that is here."""

from docs.generate.pages import PAGES, REFERENCE


def main() -> None:
    """Write every generated page."""
    for name, write in PAGES.items():
        (REFERENCE / name).write_text(write(), encoding="utf-8")


if __name__ == "__main__":
    main()
