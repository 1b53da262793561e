"""The transcoder: audio in, the same audio in another format out."""
