"""The checkpoints and the demo song that ship with the package."""
