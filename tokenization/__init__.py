"""The residual-VQ motion codec, its tokenizer and the processor."""
