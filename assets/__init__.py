"""The files that ship with the package: checkpoints, reference dances, the demo song, the body and the viewer."""

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
MODELS = {name: _FOLDER / f"choreollama-{name}" for name in ("open", "research")}
"""The generators by the names that a user gives them, each with the reference dances that it takes in `references`."""
DEFAULT_MODEL = MODELS["open"]
DEFAULT_RESTORER = _FOLDER / "frdm-tiny"
DEFAULT_REFERENCES = DEFAULT_MODEL / "references"
BEAT_NETWORK = _FOLDER / "beat-network" / "model.safetensors"
GENRE_GUESS = _FOLDER / "genre-guess"
DEMO_SONG = _FOLDER / "demo_song.ogg"
"""Twenty seconds of `synthesize_music("hip-hop", 100, 20.0, seed=3)`."""
DEMO_GENRE = "pop"
BODY_MESH = _FOLDER / "body_mesh.npz"
VIEWER_SCRIPT = _FOLDER / "viewer.js"
