"""What people read: the layer picture, the plan's summary, the model card."""
