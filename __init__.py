"""InfiniteDance: a song goes in, a 3D dance comes out."""

__version__ = "0.1.0"
