"""What the release of a model needs: export, references, body mesh."""
