"""ChoreoLLaMA: music features and references to motion codes."""
