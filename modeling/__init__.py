"""The models, a folder each: ChoreoLLaMA, the Foot Restoration Diffusion Model, the two towers of retrieval."""
