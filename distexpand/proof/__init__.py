"""The proof before any byte: the output's skeleton loads in transformers, and every layer keeps its kind."""
