"""Notes that a clinician can sign: what is known of a time, sentences that cite it, and a checker that believes none of them."""
