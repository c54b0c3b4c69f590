"""What divan and the memory benchmark print is read."""

from benchmarks.hot import memory, nanoseconds, times

TABLE = """\
Timer precision: 20 ns
retention         fastest       │ slowest       │ median        │ mean          │ samples │ iters
├─ judge_a_page   41.39 µs      │ 81.59 µs      │ 42.45 µs      │ 43.18 µs      │ 100     │ 100
╰─ rules                        │               │               │               │         │
   ├─ 1           1.039 ms      │ 1.412 ms      │ 1.068 ms      │ 1.079 ms      │ 100     │ 100
   ╰─ 100         950 ns        │ 2 s           │ 1.5 µs        │ 1.6 µs        │ 25      │ 100
"""

PEAKS = """\
executions   peak, MiB
     10000        9.10
   1000000        9.25
executions   peak, MiB  keep_last = 1
     10000       11.00
"""


def test_a_time_is_told_in_nanoseconds():
    assert [nanoseconds(told) for told in ("950 ns", "42.5 µs", "1.5 ms", "2 s")] == [950, 42_500, 1_500_000, 2e9]


def test_a_table_of_times_is_read_row_by_row():
    figures = times("retention", TABLE)
    assert [figure["name"] for figure in figures] == [
        "retention/judge_a_page",
        "retention/rules/1",
        "retention/rules/100",
    ]
    assert figures[0] == {
        "name": "retention/judge_a_page",
        "unit": "ns",
        "n": 100,
        "median": 42_450,
        "min": 41_390,
        "max": 81_590,
    }
    assert figures[2]["n"] == 25


def test_a_table_of_peaks_is_read_with_its_terms():
    told = {figure["name"]: figure["median"] for figure in memory(PEAKS)}
    assert told == {
        "memory/peak of a sweep, shipped rules/10000": 9.1,
        "memory/peak of a sweep, shipped rules/1000000": 9.25,
        "memory/peak of a sweep, keep_last = 1/10000": 11.0,
    }
