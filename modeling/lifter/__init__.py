"""The lifter: a dance in three dimensions out of the landmarks of a video."""
