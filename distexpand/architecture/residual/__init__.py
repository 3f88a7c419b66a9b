"""Identity blocks: which tensors write to the residual stream, and what makes each write nothing."""
