"""Measure what a training step costs.

``python tools/measurements/step.py COMMAND --out docs/results/FILE.json`` prints a table, and with ``--out`` writes it
in markdown beside a json file with all figures. ``step.py COMMAND --help`` lists the options of a command.
"""

import argparse

from steps import aligned, monitors, over_passes, peers, projectors, reset, rows, scaling, switches

COMMANDS = dict(
    time=over_passes,
    peers=peers,
    switches=switches,
    monitors=monitors,
    scaling=scaling,
    projectors=projectors,
    aligned=aligned,
    reset=reset,
    rows=rows,
)


def main() -> None:
    parser = argparse.ArgumentParser(description='Measure what a training step costs.')
    commands = parser.add_subparsers(metavar='COMMAND', required=True)
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or '').partition('\n')[0]
        command = commands.add_parser(name, help=summary, description=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    args = parser.parse_args()
    args.run(args)


if __name__ == '__main__':
    main()
