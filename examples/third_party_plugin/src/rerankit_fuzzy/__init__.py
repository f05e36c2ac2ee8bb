"""A rerankit service: fuzzy matching of words, by RapidFuzz."""
