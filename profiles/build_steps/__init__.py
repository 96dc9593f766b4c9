"""Steps of `profiles.build`: from the definitions of the R4 core package to rows of the committed tables."""
