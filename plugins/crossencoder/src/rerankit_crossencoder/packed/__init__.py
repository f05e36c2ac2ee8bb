"""Our own execution of BERT, RoBERTa and DeBERTa encoders on packed tokens."""
