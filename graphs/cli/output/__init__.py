"""What people are told: progress, summaries, stories of candidates, the words and pictures for them."""
