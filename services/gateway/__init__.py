"""The gateway: every door an upload can come in by, and the reports that go out."""
