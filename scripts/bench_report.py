"""What scripts/bench measured, beside what it has to be: a table at the end."""

import statistics


class Report:
    def __init__(self):
        self.rows, self.failed = [], False

    def ratio(self, what, a, b, figure, limit):
        value = statistics.median(getattr(a, figure)) / statistics.median(getattr(b, figure))
        self.row(what, f"{value:.3f} x {b.name}", f"{limit:.3f}", value <= limit)

    def row(self, what, value, limit, passed):
        self.failed |= not passed
        self.rows.append((what, value, limit, "PASS" if passed else "FAIL"))

    def goal(self, what, value, goal, met):
        """Something that is not reached yet fails nothing."""
        self.rows.append((what, value, goal, "goal: met" if met else "goal: MISSED"))

    def note(self, what, value, limit):
        self.rows.append((what, value, limit, "-"))

    def print(self):
        print(f"\n{'work':<50} {'measured':<28} {'limit':<20}")
        for what, value, limit, verdict in self.rows:
            print(f"{what:<50} {value:<28} {limit:<20} {verdict}")
