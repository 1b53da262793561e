"""The analyzer: audio in, loudness, peaks and tonal balance out."""
