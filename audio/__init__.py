"""Leaf numerics of sound: loading, beats, music features."""
