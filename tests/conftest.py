"""Read before any test, so that no search a test starts sees the variable it takes out of the environment."""

import tests.published_data  # noqa: F401
