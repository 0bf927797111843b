"""Plant the feet of anybody's motion file: read it, restore it, write it back with everything else untouched."""
