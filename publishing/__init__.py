"""Models, libraries, data sets and the Space on the Hub: what is uploaded, its card, and the upload."""
