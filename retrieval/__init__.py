"""Reference dances: windows, index, search, and how near a dance comes to its references."""
