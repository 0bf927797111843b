"""The authors' released models, as their published weights need them: generator, codec and retriever."""
