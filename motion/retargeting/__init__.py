"""Any skeleton to ours: names of joints, rotations, fits to positions."""
