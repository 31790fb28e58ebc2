"""``python -m graphs.knowledge``."""

import sys

from graphs.cli.knowledge_command import main

sys.exit(main())
