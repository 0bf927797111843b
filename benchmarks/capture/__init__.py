"""Rendered videos whose every joint is known, and how well a dance comes out of them."""
