"""``python -m graphs.chat``."""

import sys

from graphs.chat.command_line import main

sys.exit(main())
