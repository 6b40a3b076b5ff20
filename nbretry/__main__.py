"""Entry point of ``python -m nbretry``, which runs the command ``nbretry``."""

import sys

from nbretry.cli import main

sys.exit(main())
