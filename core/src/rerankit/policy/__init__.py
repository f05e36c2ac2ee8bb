"""What happens around a backend, one module a concern, each usable alone."""
