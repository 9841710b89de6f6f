"""The Hugging Face hub: what of it is on this machine, and how the rest is fetched."""
