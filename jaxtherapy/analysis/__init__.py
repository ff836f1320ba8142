"""What a trained therapist is worth."""
