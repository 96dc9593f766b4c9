"""What happens after the answer: twins, notifications, and the keeping of the house."""
