"""Tests here look at pages of the application in this process."""

from tests.rest_fixtures import http, services, system

__all__ = ["http", "services", "system"]
