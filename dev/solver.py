"""The solver cvc5 as a program that answers SMT-LIB commands on its standard input.

The wheel on PyPI brings the library without the program; Cedar's symbolic compiler talks to a program.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import cvc5


def commands(lines: Iterable[str]) -> Iterator[str]:
    """Whole commands: one may go over several lines."""
    command, depth, quote = "", 0, ""
    for line in lines:
        for character in line:
            if quote:
                quote = "" if character == quote else quote
            elif character == ";":
                break
            elif character in '"|':
                quote = character
            elif character == "(":
                depth += 1
            elif character == ")":
                depth -= 1
        command += line
        if depth == 0 and not quote:
            yield command
            command = ""


def fresh(options: list[str]) -> tuple[cvc5.Solver, cvc5.SymbolManager]:
    manager = cvc5.TermManager()
    solver = cvc5.Solver(manager)
    for option in options:
        name, _, value = option.removeprefix("--").partition("=")
        # The program's own `tlimit` is for all of its life.
        solver.setOption("tlimit-per" if name == "tlimit" else name, value)
    return solver, cvc5.SymbolManager(manager)


def main() -> None:
    options = [option for option in sys.argv[1:] if "=" in option]
    solver, symbols = fresh(options)
    for text in commands(sys.stdin):
        # A parser for each: what was declared is kept by the symbols.
        parser = cvc5.InputParser(solver, symbols)
        parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "standard input")
        while not (command := parser.nextCommand()).isNull():
            if command.getCommandName() == "exit":
                return
            if command.getCommandName() == "reset":
                solver, symbols = fresh(options)
                break
            sys.stdout.write(command.invoke(solver, symbols))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
