"""The HTTP service. Importing it imports FastAPI; the plugin's light module does not."""
