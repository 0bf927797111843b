"""The files that ship with the package: checkpoints, reference dances, the demo song, the body and the viewer."""

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
DEFAULT_MODEL = _FOLDER / "choreollama-tiny"
DEFAULT_RESTORER = _FOLDER / "frdm-tiny"
DEFAULT_REFERENCES = _FOLDER / "references"
BEAT_NETWORK = _FOLDER / "beat-network" / "model.safetensors"
DEMO_SONG = _FOLDER / "demo_waltz.ogg"
BODY_MESH = _FOLDER / "body_mesh.npz"
VIEWER_SCRIPT = _FOLDER / "viewer.js"
