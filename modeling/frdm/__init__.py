"""The Foot Restoration Diffusion Model."""
