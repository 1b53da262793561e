"""Write docs/licences.md."""

from tools.licences.page import PAGE, written

if __name__ == "__main__":
    PAGE.write_text(written())
