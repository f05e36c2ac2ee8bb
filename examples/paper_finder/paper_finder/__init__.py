"""Finding papers for a question: full-text search, reranked passages, passages aggregated to papers."""
