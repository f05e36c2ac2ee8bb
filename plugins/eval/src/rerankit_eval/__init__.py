"""Which reranker should I use? The commands ``eval``, ``compare``, ``calibrate`` and ``bench`` of rerankit."""
