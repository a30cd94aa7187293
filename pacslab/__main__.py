"""``python -m pacslab`` is the same as ``pacslab``."""

import sys

from pacslab.cli import main

sys.exit(main())
