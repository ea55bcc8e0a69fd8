"""Image files: where they are, what their headers announce, and how they are decoded. Imports no torch."""
