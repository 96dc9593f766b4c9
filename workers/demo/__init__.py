"""Seeded demo data: psychiatric patients with wearables, episodes and ground truth, and the codec's training corpus."""
