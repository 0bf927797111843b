"""Restore the feet of any motion file: read it, restore it, write it back with everything else untouched."""
