"""The two towers of retrieval: music and dance in one space."""
