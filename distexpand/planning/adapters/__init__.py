"""LoRA adapters in a plan: matched with the tensors that they change."""
