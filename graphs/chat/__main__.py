"""``python -m graphs.chat``."""

import sys

from graphs.cli.chat_command import main

sys.exit(main())
