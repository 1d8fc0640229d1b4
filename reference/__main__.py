"""Write all reference pages: `python -m reference`."""

from reference.pages import PAGES, ROOT


def main() -> None:
    """Write each page and print its path."""
    for path, text in PAGES.items():
        target = ROOT / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text(), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
