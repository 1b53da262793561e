"""Write every dashboard; what is there already is overwritten."""

from pathlib import Path
from typing import Final

from tools.dashboards.boards import BOARDS
from tools.dashboards.grafana import written

FOLDER: Final = Path(__file__).parents[2] / "charts" / "decibus" / "dashboards"

if __name__ == "__main__":
    for board in BOARDS:
        (FOLDER / f"{board.uid}.json").write_bytes(written(board))
