"""Makes the demo model anew: a very small Whisper, trained on what espeak-ng says."""
