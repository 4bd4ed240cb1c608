from tests.index.conftest import album, encode  # noqa: F401  fixtures
