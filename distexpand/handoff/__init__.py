"""What was made, handed on to trainers: which parameters are new, in each trainer's own terms."""
