"""``python -m graphs.search``."""

import sys

from graphs.cli.search_command import main

sys.exit(main())
