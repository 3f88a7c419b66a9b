"""Hand-off to trainers and what they make: adapters of PEFT, both ways."""
