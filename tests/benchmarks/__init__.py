"""pacslab beside Orthanc, in one run on one machine: ratios, not seconds.

``python -m tests.benchmarks`` (or ``make bench``) prints a Markdown table; ``--short`` takes a
minute and is what the tests run; ``--memory`` (``make soak``) says how pacslab's memory grows with
studies of 4 GB. Without Orthanc or DCMTK it says so and measures pacslab alone. Both servers run
all the time and take turns, figure by figure, and of three rounds the median counts.
"""
