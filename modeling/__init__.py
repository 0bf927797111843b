"""The models, a folder each: ChoreoLLaMA, the authors' released one, FRDM, the lifter, the two towers of retrieval."""
