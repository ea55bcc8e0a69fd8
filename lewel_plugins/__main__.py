"""``python -m lewel_plugins``: the command ``lewel`` where it is not on the path."""

import sys

from lewel_plugins.cli.parser import main

if __name__ == '__main__':
    sys.exit(main())
