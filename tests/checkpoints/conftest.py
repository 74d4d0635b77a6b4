"""A server of files."""

from tests.fixtures.file_server import file_server

__all__ = ["file_server"]
