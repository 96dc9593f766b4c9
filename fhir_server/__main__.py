"""`python -m fhir_server COMMAND`: what `./clarity` runs."""

from fhir_server.cli.main import main

if __name__ == "__main__":
    main()
