"""``python -m nbretry`` is the command ``nbretry``."""

import sys

from nbretry.cli import main

sys.exit(main())
