"""Hand-off to trainers and what comes back: new parameters in their terms, adapters of PEFT both ways."""
