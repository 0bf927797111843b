import csv
from pathlib import Path

import pytest


@pytest.fixture
def write_clip_folder(tmp_path):
    """Write a clip folder of empty files; the reader looks at names only."""

    def write(rows: list[dict], *, create_files: bool = True) -> Path:
        columns = list(dict.fromkeys(column for row in rows for column in row))
        with (tmp_path / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
        for row in rows:
            for name in (row.get("file"), row.get("audio")):
                if create_files and name and not name.endswith(")"):
                    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                    (tmp_path / name).touch()
        return tmp_path

    return write
