"""What makes parts of the product, and is no part of it."""
