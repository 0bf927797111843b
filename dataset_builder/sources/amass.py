"""AMASS: motion capture of many laboratories on one SMPL-H or SMPL-X body, without music.

Layout, for SMPL-H (`_poses`) and SMPL-X (`_stageii`); other files (`shape.npz`, `neutral_stagei.npz`) are no motions:

```
<dataset>/<subject>/<clip>_poses.npz        poses, trans, mocap_framerate; Z up
<dataset>/<subject>/<clip>_stageii.npz      poses, trans, mocap_frame_rate; Z up
```

Clips have no genre: all are `not labeled`. `datasets=["DanceDB"]` reads the dances alone
(on the command line: `amass=FOLDER,datasets=DanceDB+CMU`).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from ...motion.files import read_motion
from ...motion.motion import Motion
from ..genres import NOT_LABELED
from .base import MotionSource, SourceRecord

_MOTION_ENDINGS = ("_poses", "_stageii")


class AmassSource(MotionSource):
    """AMASS; see the module for its layout.

    Args:
        folder: The folder that holds one folder a dataset.
        trust_pickle: Not needed.
        datasets: Names of the datasets to list, or one text with a plus sign between them; `None` for all.
    """

    name = "amass"
    license = "AMASS terms: research only, no commercial use, no redistribution; each dataset adds its own"
    homepage_citation = (
        "Mahmood et al., AMASS: Archive of Motion Capture as Surface Shapes, ICCV 2019, and the paper of each dataset "
        "used. amass.is.tue.mpg.de"
    )

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        trust_pickle: bool = False,
        datasets: Collection[str] | str | None = None,
    ) -> None:
        super().__init__(folder, trust_pickle=trust_pickle)
        names = datasets.split("+") if isinstance(datasets, str) else datasets
        self.datasets = None if names is None else sorted(names)

    def records(self) -> Iterator[SourceRecord]:
        """List the clips by dataset, subject and name."""
        for dataset in self.datasets or ():
            if not (self.folder / dataset).is_dir():
                raise self.missing_layout(f"a folder {dataset}")
        roots = [self.folder] if self.datasets is None else [self.folder / dataset for dataset in self.datasets]
        paths = sorted(path for root in roots for path in root.rglob("*.npz") if path.stem.endswith(_MOTION_ENDINGS))
        if not paths:
            raise self.missing_layout("files <dataset>/<subject>/*_poses.npz or *_stageii.npz")
        for path in paths:
            parts = path.relative_to(self.folder).with_suffix("").parts
            yield self.make_record(
                path, clip_id="__".join(parts), performer_id="/".join(parts[:-1]), genre=NOT_LABELED
            )

    def read(self, record: SourceRecord) -> Motion:
        """Read the SMPL motion."""
        return read_motion(record.motion_path)
