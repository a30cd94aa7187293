"""pacslab beside Orthanc, in one run on one machine: ratios, not seconds.

``python -m tests.benchmarks`` (or ``make bench``) prints a Markdown table; ``--short`` takes a
minute and is what the tests run. Without Orthanc or DCMTK it says so and measures pacslab alone.
"""
