"""What runs a model: three engines behind one interface."""
