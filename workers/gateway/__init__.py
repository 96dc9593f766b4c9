"""The one way out to a language model: policy, de-identification, budget, the call, the check of what comes back."""
