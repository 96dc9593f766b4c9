"""The evaluations whose tables are docs/models: each module is one page, made again by `./clarity models evaluate`."""
