"""Operations on Subscriptions: how they stand, what happened, which topics there are, sockets, secrets, dead letters."""
