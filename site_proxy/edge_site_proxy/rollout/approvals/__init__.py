"""What people sign under a plan, what that amounts to, and taking it back; pure."""
