"""The transcriber: speech in, words with times out."""
